//! See `fuzz/src/targets/body.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::body::check_input(data));
