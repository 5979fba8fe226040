//! See [`nitride_fuzz::openbao`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::openbao(data));
