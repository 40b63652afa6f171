//! `linkgate envoy render`: the environment fills in what is meant to be filled in, and cannot bend the rest.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use support::Sandbox;

const TEMPLATE: &str = "# ${HOME} stays\nport: ${LINKGATE_PORT:-8080}\nregex: '^/a$'\nhost: ${LINKGATE_HOST}\n";

#[test]
fn a_template_is_rendered_to_standard_output_or_a_file() {
    let sandbox = Sandbox::new();
    sandbox.write("envoy.yaml", TEMPLATE);
    let want = "# ${HOME} stays\nport: 8080\nregex: '^/a$'\nhost: 127.0.0.1\n";
    let environment = [("LINKGATE_HOST", "127.0.0.1")];
    let outcome = sandbox.run_with(&["envoy", "render", "envoy.yaml"], &environment, b"");
    assert_eq!((outcome.code, outcome.out.as_str(), outcome.err.as_str()), (0, want, ""));
    let outcome = sandbox.run_with(&["envoy", "render", "envoy.yaml", "--to", "out.yaml"], &environment, b"");
    assert_eq!((outcome.code, outcome.out.as_str()), (0, ""));
    assert_eq!(sandbox.read("out.yaml"), want);
}

#[test]
fn an_unset_variable_is_named_with_its_line_and_the_old_file_stays() {
    let sandbox = Sandbox::new();
    sandbox.write("envoy.yaml", TEMPLATE);
    sandbox.write("out.yaml", "old");
    let before = sandbox.read_files();
    let outcome = sandbox.run(&["envoy", "render", "envoy.yaml", "--to", "out.yaml"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    let want = "envoy.yaml:4: LINKGATE_HOST is not set and has no default: set it in the environment\n";
    assert_eq!(outcome.err, want);
    assert_eq!(sandbox.read_files(), before);
}

#[test]
fn a_value_that_could_change_the_yaml_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.write("envoy.yaml", TEMPLATE);
    let before = sandbox.read_files();
    let environment = [("LINKGATE_HOST", "x\nadmin: {}")];
    let outcome = sandbox.run_with(&["envoy", "render", "envoy.yaml", "--to", "out.yaml"], &environment, b"");
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.starts_with("envoy.yaml:4: LINKGATE_HOST is "), "{}", outcome.err);
    assert_eq!(sandbox.read_files(), before);
}
