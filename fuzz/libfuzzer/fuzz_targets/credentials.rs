//! See `fuzz/src/targets/credentials.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::credentials::check_input(data));
