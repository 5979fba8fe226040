//! See [`nitride_fuzz::firmware`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::firmware(data));
