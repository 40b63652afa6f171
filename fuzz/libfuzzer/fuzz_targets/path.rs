//! See `fuzz/src/targets/path.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::path::check_input(data));
