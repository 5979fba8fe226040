//! See [`nitride_fuzz::bulk`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::bulk(data));
