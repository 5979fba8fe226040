//! See [`nitride_fuzz::x509`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::x509(data));
