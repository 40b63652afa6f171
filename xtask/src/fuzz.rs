//! `cargo xtask fuzz`: hostile input for every parser of untrusted bytes in the gate and the store.
//!
//! Promises: each target runs for its seconds with bounded memory and input; an input that breaks something fails the
//! task and is named; what was learned stays in the target folder, and nothing else changes. Refuses to pass for
//! done where it cannot run: without a nightly compiler or cargo-fuzz it ends with 2.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::error::{Failure, Outcome, Trying};
use crate::run::{probe, run};
use crate::workspace::Workspace;

/// The targets, and the longest input for each: for the gate's a little over what it takes, for the store's what it takes to
/// say everything once.
const TARGETS: [(&str, u32); 9] = [
    ("archive", 20_000),
    ("body", 5_000),
    ("credentials", 8_192),
    ("download", 2_000),
    ("form", 5_000),
    ("keys", 4_096),
    ("path", 1_200),
    ("policy", 8_192),
    ("token", 4_096),
];
const NAMES: [&str; TARGETS.len()] = {
    let mut names = [""; TARGETS.len()];
    let mut n = 0;
    while n < TARGETS.len() {
        names[n] = TARGETS[n].0;
        n += 1;
    }
    names
};
/// The version that is known to work.
const CARGO_FUZZ: &str = "0.13.2";
const MEMORY_MIB: u32 = 1_024;
/// For one input; most take less than a millisecond.
const TIMEOUT_S: u32 = 10;

/// What to attack, and for how long.
#[derive(Args)]
pub struct Options {
    /// For each target
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// All of them if none is named
    #[arg(value_name = "TARGET", value_parser = PossibleValuesParser::new(NAMES))]
    pub targets: Vec<String>,
}

/// Builds the targets and runs those that are named.
pub fn fuzz(workspace: &Workspace, options: &Options) -> Outcome<()> {
    need_tools()?;
    let fuzzing = Fuzzing { root: workspace.path("fuzz"), work: workspace.target.join("fuzz") };
    // cargo-fuzz itself would write another lock file where this one is out of date.
    run(nightly(&["fetch", "--locked", "--manifest-path"]).arg(fuzzing.programs().join("Cargo.toml")))?;
    run(&mut fuzzing.cargo_fuzz("build"))?;
    let named = |name: &str| options.targets.is_empty() || options.targets.iter().any(|target| target == name);
    let mut broken = Vec::new();
    for (name, longest) in TARGETS.into_iter().filter(|(name, _)| named(name)) {
        let log = fuzzing.work.join(format!("{name}.log"));
        match fuzzing.run(name, longest, options.seconds, &log) {
            Ok(()) => println!("{name}: {}, nothing found", summarize(&read_log(&log)?)),
            Err(_) => {
                println!("{}\n{name}: FAILED, all of it is in {}", last_lines(&read_log(&log)?), log.display());
                broken.push(name);
            }
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let hint = "`rustup run nightly cargo fuzz run --fuzz-dir fuzz/libfuzzer -s none TARGET FILE` runs the input that is named above again";
    Err(Failure::new(format!("{} of the targets failed: {}; {hint}", broken.len(), broken.join(", "))))
}

/// Where the targets are, and where everything goes that they make.
struct Fuzzing {
    root: PathBuf,
    work: PathBuf,
}

impl Fuzzing {
    /// The folder of the programs that libFuzzer drives.
    fn programs(&self) -> PathBuf {
        self.root.join("libfuzzer")
    }

    /// Without a sanitizer: all of it is safe Rust, and it runs twice as fast.
    fn cargo_fuzz(&self, verb: &str) -> Command {
        let mut command = nightly(&["fuzz", verb, "--sanitizer", "none", "--fuzz-dir"]);
        command.arg(self.programs()).arg("--target-dir").arg(&self.work);
        command
    }

    fn run(&self, name: &str, longest: u32, seconds: u32, log: &Path) -> Outcome<()> {
        let learned = self.work.join("corpus").join(name);
        fs::create_dir_all(&learned).trying(|| format!("make {}", learned.display()))?;
        let mut command = self.cargo_fuzz("run");
        // New inputs are written to the first folder.
        command.arg(name).arg(&learned).arg(self.root.join("corpus").join(name)).arg("--").args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={longest}"),
            format!("-rss_limit_mb={MEMORY_MIB}"),
            format!("-timeout={TIMEOUT_S}"),
            format!("-dict={}", self.root.join("dictionaries").join(format!("{name}.dict")).display()),
            "-print_final_stats=1".to_owned(),
        ]);
        let file = || File::create(log).trying(|| format!("write {}", log.display()));
        command.stdout(file()?);
        command.stderr(File::options().append(true).open(log).trying(|| format!("write {}", log.display()))?);
        run(&mut command)
    }
}

fn nightly(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(args);
    command
}

fn need_tools() -> Outcome<()> {
    let answers = |args: &[&str]| probe("rustup", &[&["run", "nightly", "cargo"], args].concat()).is_some();
    if !answers(&["--version"]) {
        let how = "rustup toolchain install nightly --profile minimal";
        return Err(Failure::missing(format!("a nightly compiler is missing, nothing was fuzzed: `{how}`")));
    }
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if probe(compiler, &["--version"]).is_none() {
        return Err(Failure::missing("a C++ compiler is missing, nothing was fuzzed: libFuzzer is built with it"));
    }
    if !answers(&["fuzz", "--version"]) {
        let how = format!("cargo install --locked cargo-fuzz --version {CARGO_FUZZ}");
        return Err(Failure::missing(format!("cargo-fuzz is missing, nothing was fuzzed: `{how}`")));
    }
    Ok(())
}

fn read_log(log: &Path) -> Outcome<String> {
    fs::read(log).trying(|| format!("read {}", log.display())).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// How much was tried, out of what libFuzzer prints.
fn summarize(log: &str) -> String {
    let number = |line: &str| line.split_whitespace().last().unwrap_or_default().to_owned();
    let stat = |name: &str| log.lines().rev().find(|line| line.starts_with(name)).map(number).unwrap_or_default();
    let covered = log.rsplit("cov: ").next().and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    format!("{} inputs, {covered} edges covered", stat("stat::number_of_executed_units:"))
}

/// Where libFuzzer says what happened.
fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_run_and_has_seeds_and_a_dictionary() {
        let root = Workspace::find().unwrap().path("fuzz");
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut found: Vec<_> = fs::read_dir(root.join("libfuzzer/fuzz_targets"))
            .unwrap()
            .map(|entry| stem(entry.unwrap().path()))
            .collect();
        found.sort();
        assert_eq!(found, NAMES);
        for name in NAMES {
            assert!(fs::read_dir(root.join("corpus").join(name)).unwrap().next().is_some(), "{name}");
            assert!(root.join("dictionaries").join(format!("{name}.dict")).is_file(), "{name}");
        }
    }

    #[test]
    fn the_same_cargo_fuzz_is_asked_for_everywhere() {
        let script = fs::read_to_string(Workspace::find().unwrap().path(".ci/run")).unwrap();
        assert!(script.contains(&format!("cargo-fuzz --version {CARGO_FUZZ}")));
    }

    #[test]
    fn the_last_numbers_count() {
        let log = "#1 INITED cov: 5 ft: 6\n#9 NEW    cov: 77 ft: 80 corp: 1\nstat::number_of_executed_units: 1234\n";
        assert_eq!(summarize(log), "1234 inputs, 77 edges covered");
        assert_eq!(summarize(""), " inputs,  edges covered");
    }
}
