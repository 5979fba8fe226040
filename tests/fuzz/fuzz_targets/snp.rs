//! See [`nitride_fuzz::snp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::snp(data));
