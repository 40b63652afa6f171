//! See `fuzz/src/targets/keys.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::keys::check_input(data));
