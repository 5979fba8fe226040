//! See [`nitride_fuzz::pe`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::pe(data));
