//! See [`nitride_fuzz::seal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::seal(data));
