//! See [`nitride_fuzz::luks2`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::luks2(data));
