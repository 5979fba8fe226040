//! See [`nitride_fuzz::agent_message`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nitride_fuzz::agent_message(data));
