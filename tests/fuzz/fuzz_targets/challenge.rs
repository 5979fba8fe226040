//! See [`nitride_fuzz::challenge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::challenge(data));
