//! See `fuzz/src/targets/pairs.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::pairs::check_input(data));
