//! See [`nitride_fuzz::records`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::records(data));
