//! See [`nitride_fuzz::policy_toml`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::policy_toml(data));
