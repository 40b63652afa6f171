//! Clients that people write in Python: BlueKing's SDK, HTTPie, and Schemathesis, which tries whatever the API's document allows.
//!
//! Where their packages could not be had, the tests say so and pass.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use linkgate_tests::file::PACKAGES;
use linkgate_tests::gateway::{APP, GatewayPlan, path_from};
use linkgate_tests::sha256_hex;
use serde_json::{Value, json};

use crate::downloads::granting;
use crate::replies::{WholeStack, package};

/// The interpreter that has the packages.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("LINKGATE_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!(
            "not tried: LINKGATE_PYTHON is not set; `cargo xtask test` sets it where Python's packages can be had"
        );
    }
    python
}

fn run_script(python: &Path, script: &str, task: &Value) -> Output {
    let mut command = Command::new(python);
    command.arg(path_from("LINKGATE_ROOT").join("tests/e2e/clients").join(script));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The end of the input is its going away.
    child.stdin.take().unwrap().write_all(task.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bluekings_sdk_uploads_and_follows_a_job() {
    let Some(python) = python() else { return };
    let stack = WholeStack::new().await;
    let credentials = stack.gateway().credentials();
    let task = json!({
        "gateway": stack.base(),
        "link": stack.source().url(),
        "credentials": {"bk_app_code": APP, "bk_app_secret": credentials.secret, "bk_token": credentials.token},
    });
    let output = tokio::task::block_in_place(|| run_script(&python, "bkapi_client.py", &task));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["package"]["sha256_signature"], sha256_hex(&package()));
    assert_eq!(said["job"]["job_id"].as_str().map(str::len), Some(36), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn httpie_sends_a_file_and_gets_it_back_in_two_pieces() {
    let Some(python) = python() else { return };
    let stack = granting(json!(["upload", "download"])).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app-1.0.tar.gz"), package()).unwrap();
    let packages = format!("{}/stag{PACKAGES}", stack.base());
    let authorization = format!("X-Bkapi-Authorization:{}", stack.gateway().credentials().header());
    let http = |arguments: &[&str]| {
        let mut command = Command::new(&python);
        command.current_dir(folder.path()).env("HOME", folder.path()).env("no_proxy", "*");
        command.args(["-m", "httpie", "--ignore-stdin", "--check-status"]).args(arguments).arg(&authorization);
        let output = tokio::task::block_in_place(|| command.output()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let sent = http(&["--form", "--body", "POST", &packages, "package@app-1.0.tar.gz", "version=1.0"]);
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(sent["sha256_signature"], sha256_hex(&package()));
    let download = format!("{packages}{}/download/", sent["id"]);
    let got = folder.path().join("got");
    for begun in [&[][..], &package()[..package().len() / 2]] {
        std::fs::write(&got, begun).unwrap();
        http(&["--download", "--continue", "--output", "got", "GET", &download]);
        assert_eq!(sha256_hex(&std::fs::read(&got).unwrap()), sha256_hex(&package()), "after {} bytes", begun.len());
    }
    stack.end_clean();
}

/// How many requests Schemathesis makes of each operation in each phase. For thousands, set `LINKGATE_SCHEMATHESIS_EXAMPLES`.
fn examples() -> String {
    let wanted = std::env::var_os("LINKGATE_SCHEMATHESIS_EXAMPLES").and_then(|text| text.into_string().ok());
    wanted.unwrap_or_else(|| "8".to_owned())
}

/// Lets Schemathesis try all that the document allows, and returns what it says. The package of this number is there.
fn try_the_document(python: &Path, stack: &WholeStack, package: &Value, examples: &str) -> Output {
    // What it writes down of its findings goes with the folder.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.current_dir(folder.path()).args(["-m", "schemathesis.cli", "--config-file"]);
    let clients = path_from("LINKGATE_ROOT").join("tests/e2e/clients");
    command.arg(clients.join("schemathesis.toml")).env("SCHEMATHESIS_HOOKS", clients.join("schemathesis_hooks.py"));
    command.env("LINKGATE_PACKAGE_URL", stack.source().url()).env("LINKGATE_PACKAGE_ID", package.to_string());
    command.args(["run", "--checks", "all", "--max-examples", examples, "--no-color", "--seed", "1"]);
    // BlueKing's gateway answers 400 to whom it does not know, and so does this one; and Envoy to methods that it does not know.
    command.args(["--exclude-checks", "ignored_auth,unsupported_method"]);
    command.args(["--generation-database", "none", "--url", &format!("{}/stag", stack.base())]);
    command.args(["--header", &format!("X-Bkapi-Authorization: {}", stack.gateway().credentials().header())]);
    command.arg(format!("{}/openapi.json", stack.base())).output().unwrap()
}

/// How often each operation was answered 200.
fn done_operations(stack: &WholeStack) -> BTreeMap<String, usize> {
    let mut done = BTreeMap::new();
    let log = stack.gateway().log();
    let requests = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for request in requests.filter(|request| request["status"] == 200) {
        let record: Value =
            request["gate"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if let Some(operation) = record["operation"].as_str() {
            *done.entry(operation.to_owned()).or_default() += 1;
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_document_allows_is_answered_as_it_says_and_leaves_nothing_behind() {
    let Some(python) = python() else { return };
    let settings = [("LINKGATE_PACKAGE_ALLOW_UNKNOWN_FORMATS", "true")];
    let stack = WholeStack::under(GatewayPlan::new(), &settings, &[], |policy, _| {
        policy["grants"] = json!([{"name": "all", "callers": ["*"], "targets": ["*"], "actions": "*"}]);
    })
    .await;
    let there = stack.send(stack.request(stack.source().url()).version("there")).await.json();
    let output = tokio::task::block_in_place(|| try_the_document(&python, &stack, &there["id"], &examples()));
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let failed =
        stack.gateway().log().lines().filter(|line| line.contains("\"status\":50")).take(5).collect::<String>();
    assert!(output.status.success(), "{said}\n{}\n{failed}", String::from_utf8_lossy(&output.stderr));
    let done = done_operations(&stack);
    println!("done: {done:?}");
    assert!(done.contains_key("put_source_package"), "nothing was uploaded: {done:?}");
    for reads in ["get_source_package", "download_source_package", "list_source_package_members"] {
        assert!(done.contains_key(reads), "no package was found again: {done:?}");
    }
    stack.end_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_document_allows_is_done_for_whom_the_policy_allows_nothing() {
    let Some(python) = python() else { return };
    let stack = WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["grants"] = json!([]);
    })
    .await;
    let output = tokio::task::block_in_place(|| try_the_document(&python, &stack, &json!(1), "3"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("Server error") && !said.contains("Undocumented"), "{said}");
    let log = stack.gateway().log();
    let is_done = |line: &&str| line.contains("\"status\":20") && !line.contains("\"path\":\"/openapi.json\"");
    assert_eq!(log.lines().filter(is_done).collect::<Vec<_>>(), Vec::<&str>::new());
    stack.directory().assert_empty().await;
}
