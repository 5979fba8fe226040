//! See [`nitride_fuzz::resource_policy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::resource_policy(data));
