//! See [`nitride_fuzz::gpu`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::gpu(data));
