//! See [`nitride_fuzz::signer_list`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::signer_list(data));
