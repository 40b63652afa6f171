//! See `fuzz/src/targets/policy.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::policy::check_input(data));
