//! See [`nitride_fuzz::vhsm_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::vhsm_request(data));
