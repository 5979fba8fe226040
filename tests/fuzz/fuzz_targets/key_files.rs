//! See [`nitride_fuzz::key_files`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::key_files(data));
