//! See `fuzz/src/targets/form.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| linkgate_fuzz::targets::form::check_input(data));
