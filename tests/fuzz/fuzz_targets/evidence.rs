//! See [`nitride_fuzz::evidence`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::evidence(data));
