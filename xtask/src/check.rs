//! `cargo xtask check`: every rule that a machine can check, short of running the tests.
//!
//! Promises: every step runs, also after one that failed; the summary names all that did.

use std::time::Instant;

use crate::error::{Failure, Outcome};
use crate::run::{probe, run};
use crate::workspace::Workspace;
use crate::{arrows, length, links, pages, shell, wasm, words};

type Step = (&'static str, fn(&Workspace) -> Outcome<()>);

const STEPS: [Step; 11] = [
    ("format", format),
    ("lints", lints),
    ("lints of the filter, for its target", filter_lints),
    ("docs", docs),
    ("import arrows", arrows::check),
    ("the filter's shell", shell::check),
    ("words that are gone", words::check),
    ("links between documents", links::check),
    ("generated pages", pages::check),
    ("length of the documents", length::check),
    ("licences, bans and sources", deny),
];

/// Runs every step.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("== {name}");
        let start = Instant::now();
        let outcome = step(workspace);
        let seconds = start.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => println!("== {name}: ok, {seconds:.1} s\n"),
            Err(failure) => {
                println!("{failure}\n== {name}: FAILED, {seconds:.1} s\n");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} of {} steps failed: {}", failed.len(), STEPS.len(), failed.join("; "))))
}

fn format(workspace: &Workspace) -> Outcome<()> {
    run(workspace.cargo().args(["fmt", "--all", "--check"]))?;
    // A workspace of its own.
    run(workspace.cargo().args(["fmt", "--check", "--manifest-path", "fuzz/libfuzzer/Cargo.toml"]))
}

fn lints(workspace: &Workspace) -> Outcome<()> {
    run(workspace.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // Only tests and `cargo xtask chaos` turn these features on.
    let features = "failpoints,test-endpoint";
    let with_features = ["clippy", "-p", "linkgate-store", "--features", features, "--", "-D", "warnings"];
    run(workspace.cargo().args(with_features))
}

fn filter_lints(workspace: &Workspace) -> Outcome<()> {
    workspace.need_target(wasm::TARGET)?;
    run(workspace.cargo().args(["clippy", "-p", "linkgate-filter", "--target", wasm::TARGET, "--", "-D", "warnings"]))
}

fn docs(workspace: &Workspace) -> Outcome<()> {
    run(workspace.cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny(workspace: &Workspace) -> Outcome<()> {
    if probe("cargo", &["deny", "--version"]).is_none() {
        println!("not run: cargo-deny is not installed");
        return Ok(());
    }
    run(workspace.cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    if workspace.cargo().args(["deny", "fetch", "db"]).output().is_ok_and(|fetched| fetched.status.success()) {
        return run(workspace.cargo().args(["deny", "check", "advisories"]));
    }
    println!("not checked: advisories, because their database cannot be fetched");
    Ok(())
}
