//! See `fuzz/src/targets/download.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::download::check_input(data));
