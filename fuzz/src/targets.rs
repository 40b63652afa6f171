//! What is attacked: a module for each reader of the bytes of others.
//!
//! Each opens by saying how its input is written and what must hold, and has a `check_input` that takes any bytes. libFuzzer
//! calls it with what it invents, through the programs in `fuzz/libfuzzer/`; the tests with every file of `fuzz/corpus/`, in
//! `fuzz/tests/replay.rs`.

pub mod archive;
pub mod body;
pub mod credentials;
pub mod download;
pub mod form;
pub mod keys;
pub mod path;
pub mod policy;
pub mod token;
