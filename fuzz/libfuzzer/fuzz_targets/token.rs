//! See `fuzz/src/targets/token.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::token::check_input(data));
