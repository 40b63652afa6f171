//! Completions and manual, read by those for whom they are.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::process::{Command, Output};

use support::Sandbox;

/// Runs a program of this machine; `None` where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).output();
    if output.is_err() {
        println!("{program} is missing: not tried");
    }
    output.ok()
}

#[test]
fn shells_take_their_completions() {
    let sandbox = Sandbox::new();
    for (shell, check) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["--no-execute"])] {
        let outcome = sandbox.run(&["completions", shell]);
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
        sandbox.write(shell, &outcome.out);
        let path = sandbox.path(shell);
        if let Some(output) = run(shell, &[check, &[path.to_str().unwrap()]].concat()) {
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }
    assert_eq!(sandbox.run(&["completions", "csh"]).code, 2);
}

#[test]
fn bash_completes_commands_and_flags() {
    let sandbox = Sandbox::new();
    sandbox.write("linkgate.bash", &sandbox.run(&["completions", "bash"]).out);
    let script = "source \"$1\"; COMP_WORDS=(linkgate pu); COMP_CWORD=1; COMP_LINE='linkgate pu'; \
        _linkgate linkgate pu linkgate; echo \"${COMPREPLY[@]}\"";
    let path = sandbox.path("linkgate.bash");
    if let Some(output) = run("bash", &["-c", script, "bash", path.to_str().unwrap()]) {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "push pull", "{output:?}");
    }
}

#[test]
fn the_manual_is_set_without_a_warning_and_found_by_name() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["man", "--to", "man/man1"]);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let pages: Vec<_> = outcome.out.lines().map(str::to_owned).collect();
    assert!(pages.len() > 30, "{pages:?}");
    for page in &pages {
        let path = sandbox.path(page);
        if let Some(output) = run("groff", &["-man", "-Tutf8", "-ww", "-z", path.to_str().unwrap()]) {
            assert!(output.status.success() && output.stderr.is_empty(), "{page}: {output:?}");
        }
    }
    let folder = sandbox.path("man");
    if run("mandb", &["--no-straycats", "--user-db", "--quiet", "--no-purge", folder.to_str().unwrap()]).is_some() {
        let found = run("whatis", &["-M", folder.to_str().unwrap(), "linkgate-push"]);
        if let Some(output) = found {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("linkgate-push"), "{output:?}");
        }
    }
}
