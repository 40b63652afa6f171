//! See `fuzz/src/targets/archive.rs`.

#![no_main]

use linkgate_fuzz::{memory, targets};

#[global_allocator]
static COUNTING: memory::Counting = memory::Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::archive::check_input(data));
