//! See [`nitride_fuzz::tdx`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::tdx(data));
