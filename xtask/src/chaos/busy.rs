//! The tests on a machine whose processors are busy.
//!
//! Promises: the loops end with this program, however it ends; all rounds are run, and the verdict names those that failed.

use std::process::{Child, Command, Stdio};

use crate::error::{Failure, Outcome, Trying};
use crate::test::{self, Driven};
use crate::workspace::Workspace;

/// Looks now and then whether the program that started it is still there.
const LOOP: &str = "while kill -0 \"$1\" 2>/dev/null; do n=0; while [ $n -lt 100000 ]; do n=$((n + 1)); done; done";

/// Runs the tests several times beside so many busy loops, and more of them at a time, so that they get a good part of the
/// processors all the same. All is built before: a compiler is none of what is tried.
pub fn run_tests(workspace: &Workspace, rounds: u32, loops: u32, runner: &[String]) -> Outcome<()> {
    let (driven, at_once) = (Driven::build(workspace)?, loops.to_string());
    driven.build_tests(&[])?;
    let _busy = (0..loops).map(|_| BusyLoop::start()).collect::<Outcome<Vec<_>>>()?;
    let mut failed = Vec::new();
    for round in 1..=rounds {
        println!("\nRound {round} of {rounds}, beside {loops} busy loops");
        if let Err(failure) = driven.run_all(runner, &[(test::AT_ONCE, &at_once)]) {
            eprintln!("{failure}");
            failed.push(round.to_string());
        }
    }
    if failed.is_empty() {
        println!("All tests passed {rounds} times beside {loops} busy loops.");
        return Ok(());
    }
    Err(Failure::new(format!("the tests failed in round {} of {rounds}", failed.join(", "))))
}

/// Killed when dropped.
struct BusyLoop(Child);

impl BusyLoop {
    fn start() -> Outcome<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", LOOP, "busy"]).arg(std::process::id().to_string()).stdin(Stdio::null());
        command.spawn().map(Self).trying(|| "start a busy loop".to_owned())
    }
}

impl Drop for BusyLoop {
    fn drop(&mut self) {
        // Fails when it has ended already, which is fine.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_gone_when_it_is_dropped() {
        let busy = BusyLoop::start().unwrap();
        let process = format!("/proc/{}", busy.0.id());
        assert!(std::path::Path::new(&process).exists());
        drop(busy);
        assert!(!std::path::Path::new(&process).exists());
    }

    #[test]
    fn a_loop_ends_without_the_program_that_started_it() {
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let status = Command::new("sh").args(["-c", LOOP, "busy", &gone.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}
