//! See [`nitride_fuzz::kbs_json`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::kbs_json(data));
