//! See [`nitride_fuzz::audit`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::audit(data));
