//! The steps of CI that docs/CLI.md shows, run as they stand there.

use std::process::Command;

use linkgate_tests::gateway::path_from;
use linkgate_tests::process::binary;
use linkgate_tests::sha256_hex;
use linkgate_tests::whole::package;
use serde_json::json;

use crate::cli::{Desk, finish};

/// The lines that a system of CI would run, of the example in which this stands.
fn script_of(mark: &str, is_step: fn(&str) -> Option<&str>) -> String {
    let guide = std::fs::read_to_string(path_from("LINKGATE_ROOT").join("docs/CLI.md")).unwrap();
    let (_, section) = guide.split_once("\n## In CI\n").unwrap();
    let block = section.split("```").skip(1).step_by(2).find(|block| block.contains(mark)).unwrap();
    let lines: Vec<_> = block.lines().skip(1).filter_map(is_step).collect();
    assert!(lines.iter().any(|line| line.contains("linkgate push") || line.contains("curl ")), "{block}");
    lines.join("\n")
}

/// Runs it for version 1.0 in a folder that has the package's sources.
async fn run_step(desk: &Desk, script: &str) {
    std::fs::create_dir_all(desk.path("src")).unwrap();
    std::fs::write(desk.path("src/app.py"), "print('hello')\n").unwrap();
    let mut command = desk.command(&[]);
    let set: Vec<_> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    command = Command::new("bash");
    command.args(["-euc", script]).current_dir(desk.folder.path()).env_clear().envs(set);
    let programs = binary("linkgate").parent().unwrap().to_owned();
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display())).env("LINKGATE_APP", "app_code");
    command.envs([("CI_COMMIT_TAG", "1.0"), ("GITHUB_REF_NAME", "1.0"), ("TAG", "1.0")]);
    let said = finish(command).await;
    assert_eq!(said.code, Some(0), "{script}\n{said:?}");
}

#[tokio::test]
async fn the_steps_of_gitlab_and_github_upload_once() {
    let desk = Desk::new().await;
    let gitlab =
        script_of("  script:", |line| line.trim_start().strip_prefix("- ").filter(|step| !step.starts_with("if:")));
    run_step(&desk, &gitlab).await;
    let stored = desk.json(&["show", "--version", "1.0"]).await;
    assert_eq!(stored["package_name"], "my-app-1.0.tar.gz");
    // Run again it finds what is there; tar and gzip write the same bytes for the same files.
    let again = gitlab.lines().filter(|line| line.starts_with("linkgate ")).collect::<Vec<_>>().join("\n");
    run_step(&desk, &again).await;
    assert_eq!(desk.json(&["list"]).await["count"], json!(1));
    let desk = Desk::new().await;
    run_step(&desk, &script_of("  steps:", |line| line.trim_start().strip_prefix("- run: "))).await;
    assert_eq!(desk.json(&["show", "--version", "1.0"]).await["package_name"], "my-app-1.0.tar.gz");
}

#[tokio::test]
async fn the_step_with_curl_alone_uploads_once() {
    // Without a user: the step shows none.
    let desk =
        Desk::under(|policy, _| policy["routes"]["authentication"] = json!({"verified_user_required": false})).await;
    std::fs::write(desk.path("my-app-1.0.tar.gz"), package()).unwrap();
    let script = script_of("auth.header", |line| Some(line));
    assert!(script.contains("Idempotency-Key"), "{script}");
    run_step(&desk, &script).await;
    run_step(&desk, &script).await;
    let list = desk.json(&["list"]).await;
    assert_eq!((&list["count"], &list["results"][0]["sha256_signature"]), (&json!(1), &json!(sha256_hex(&package()))));
    assert!(!desk.path("auth.header").exists(), "the secret is gone");
}
