//! See [`nitride_fuzz::tpm`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::tpm(data));
