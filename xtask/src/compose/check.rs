//! The check itself: what is tried, in which order.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Instant;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::deployment::{Deployment, TAG, expect_code, expect_status};
use super::project::Project;
use super::{confined, durable, rolling};
use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::images::{self, Programs};
use crate::run::capture;
use crate::up::demo::Credentials;
use crate::up::ports::bind_free;
use crate::up::sample::Sample;
use crate::up::upload::{self, Reply};
use crate::workspace::Workspace;

/// What is tried beside the services without a profile.
pub const PROFILES: &[&str] = &["demo", "pair"];
/// Where the demo's origin is, for the store.
const ORIGIN: &str = "sample:8090";

/// Runs every case, and shows the logs if one fails.
pub fn check(workspace: &Workspace, docker: &Docker) -> Outcome<()> {
    let begun = Instant::now();
    let programs = Programs::build(workspace, true)?;
    images::build_images(workspace, docker, &programs, &[TAG, rolling::NEXT])?;
    println!("== images: {:.0} s", begun.elapsed().as_secs_f32());
    let [(_, one), (_, two)] = bind_free()?;
    let gateways = [one, two];
    let publish = |port: u16| format!("127.0.0.1:{port}");
    let settings = BTreeMap::from([
        ("LINKGATE_VERSION", TAG.to_owned()),
        ("LINKGATE_GATEWAY_PUBLISH", publish(gateways[0])),
        ("LINKGATE_GATEWAY_2_PUBLISH", publish(gateways[1])),
    ]);
    let project = Project::new(workspace, docker, settings, PROFILES)?;
    let outcome = run_cases(workspace, project, gateways);
    images::remove_images(docker, &[TAG, rolling::NEXT]);
    outcome?;
    println!("ok: everything that was tried in containers is as it should be, {:.0} s", begun.elapsed().as_secs_f32());
    Ok(())
}

fn run_cases(workspace: &Workspace, project: Project, gateways: [u16; 2]) -> Outcome<()> {
    let deployment = match run_step("start", || start_project(workspace, &project)) {
        Ok((credentials, sample)) => {
            Deployment { project, gateways, credentials, sample, root: workspace.root.clone() }
        }
        Err(failure) => {
            project.show_logs();
            return Err(failure);
        }
    };
    let outcome = run_step("requests", || check_requests(&deployment))
        .and_then(|()| run_step("confinement", || confined::check_confinement(&deployment)))
        .and_then(|()| run_step("a store that is killed", || durable::check_killed_store(&deployment)))
        .and_then(|()| run_step("keys, upgrade and rollback under load", || rolling::check_rolling_update(&deployment)))
        .and_then(|()| run_step("what outlives containers", || durable::check_volumes(&deployment)));
    if outcome.is_err() {
        deployment.project.show_logs();
    }
    outcome
}

/// Says how it went, and how long it took.
pub fn run_step<T>(name: &str, what: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let begun = Instant::now();
    let outcome = what();
    let result = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("== {name}: {result}, {:.0} s", begun.elapsed().as_secs_f32());
    outcome
}

fn start_project(workspace: &Workspace, project: &Project) -> Outcome<(Credentials, Sample)> {
    project.up()?;
    find_demo(workspace, project)
}

/// The demo's credentials and package, once its containers run.
pub fn find_demo(workspace: &Workspace, project: &Project) -> Outcome<(Credentials, Sample)> {
    let folder = tempfile::tempdir().trying(|| "make a folder".to_owned())?;
    let file = folder.path().join("demo.env");
    project.copy_out("sample:/demo/demo.env", &file)?;
    let package = images::staging_folder(workspace).join(images::PACKAGE);
    let archive = fs::read(&package).trying(|| format!("read {}", package.display()))?;
    Ok((Credentials::load(&file)?, Sample::at(ORIGIN, &archive)))
}

/// The request of the README, as it stands there.
fn check_documented_request(deployment: &Deployment) -> Outcome<()> {
    let readme = fs::read_to_string(deployment.root.join("README.md")).trying(|| "read README.md".to_owned())?;
    let script =
        find_request(&readme).ok_or_else(|| Failure::new("README.md has no request for the demo in containers"))?;
    let script = script.replace("http://127.0.0.1:8080/", &format!("http://127.0.0.1:{}/", deployment.gateways[0]));
    let mut command = Command::new("sh");
    // Only errors are printed.
    command.args(["-c", &script.replacen("curl ", "curl --silent --show-error ", 1)]);
    command.env("LINKGATE_DEMO_APP_SECRET", deployment.credentials.secret.expose_secret());
    let body = capture(command.env("LINKGATE_DEMO_TICKET", deployment.credentials.ticket.expose_secret()))?;
    upload::check_reply(&Reply::parse(200, &body)?, &deployment.sample)
}

/// The `curl` that asks for the package of the demo's origin.
fn find_request(readme: &str) -> Option<String> {
    let blocks = readme.split("```").skip(1).step_by(2);
    let block = blocks.into_iter().find(|block| block.contains(ORIGIN))?;
    Some(block[block.find("curl ")?..].to_owned())
}

/// What is sent, and the code that refuses it.
fn refusals(sample: &Sample) -> [(Value, &'static str); 8] {
    let with = |name: &str, value: Value| {
        let mut body = json!({"package_url": sample.url, "version": "1.0.1"});
        body[name] = value;
        body
    };
    [
        (with("version", json!("1.0.0")), "PACKAGE_ALREADY_EXISTS"),
        (with("version", json!("")), "VALIDATION_ERROR"),
        (with("sha256", json!("0".repeat(64))), "CHECKSUM_MISMATCH"),
        (with("size", json!(1)), "SIZE_MISMATCH"),
        (with("package_url", json!(sample.url.replace("example", "none"))), "SOURCE_UNREACHABLE"),
        (with("package_url", json!("http://elsewhere.example/a.tar.gz")), "VALIDATION_ERROR"),
        // The policy allows this host, the store's own list does not.
        (with("package_url", json!("http://example.com/a.tar.gz")), "VALIDATION_ERROR"),
        (with("package_url", json!(sample.url.replace("http://", "http://user@"))), "VALIDATION_ERROR"),
    ]
}

/// The same as without containers: the documented reply, and the refusals beside it.
fn check_requests(deployment: &Deployment) -> Outcome<()> {
    check_documented_request(deployment)?;
    for gateway in deployment.gateways {
        upload::check_reply(
            &upload::upload_sample(gateway, &deployment.credentials, &deployment.sample.url)?,
            &deployment.sample,
        )?;
        upload::check_wrong_secret(gateway, &deployment.credentials, &deployment.sample.url)?;
    }
    let first = deployment.upload("1.0.0", "")?;
    expect_status(&first, 200, "a new version")?;
    for (body, code) in refusals(&deployment.sample) {
        let reply = upload::send_upload(deployment.gateways[0], &deployment.credentials, &body.to_string())?;
        expect_code(&reply, code)?;
    }
    let overwrite =
        json!({"package_url": deployment.sample.url, "version": "1.0.0", "allow_overwrite": true}).to_string();
    let overwritten = upload::send_upload(deployment.gateways[1], &deployment.credentials, &overwrite)?;
    if first.field("id") == overwritten.field("id") && overwritten.status() == 200 {
        return Ok(());
    }
    Err(Failure::new(format!("a package that is overwritten must have the same id as before:\n{first}\n{overwritten}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_of_the_readme_is_found() {
        let root = crate::workspace::root_of_tests();
        let request = find_request(&fs::read_to_string(root.join("README.md")).unwrap()).unwrap();
        assert!(request.starts_with("curl -X POST") && request.contains("$LINKGATE_DEMO_TICKET"), "{request}");
        assert!(request.contains("http://127.0.0.1:8080/stag/bkapps/"), "{request}");
        assert_eq!(find_request("```\nls\n```\n"), None);
    }
}
