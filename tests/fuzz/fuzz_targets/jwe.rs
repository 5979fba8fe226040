//! See [`nitride_fuzz::jwe`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::jwe(data));
