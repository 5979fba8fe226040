//! See [`nitride_fuzz::event_log`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::event_log(data));
