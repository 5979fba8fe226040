//! See [`nitride_fuzz::cbor`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::cbor(data));
