//! What must last, whatever happens to the containers.

use std::fs;
use std::io::{self, Write};
use std::process::Stdio;
use std::thread::{self, sleep};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use super::check::PROFILES;
use super::deployment::{Deployment, TAG, expect_code, expect_status};
use crate::error::{Failure, Outcome, Trying};
use crate::images;
use crate::run::{capture, run};
use crate::up::upload;

pub const STORE: &str = "/usr/local/bin/linkgate-store";
/// Long enough for the store to be killed meanwhile.
const HELD_MS: u64 = 30_000;
/// In the volume for backups.
const BACKUP: &str = "/backup/before";
/// A data directory as the first schema left it, with this many rows.
const OLD_DATA: &str = "tests/fixtures/data-directory-0001.tar.gz";
const OLD_ROWS: u64 = 2;

/// `docker compose kill -s KILL store` in the middle of an upload: what was acknowledged is there, and nothing else.
pub fn check_killed_store(deployment: &Deployment) -> Outcome<()> {
    let before = count_rows(deployment)?;
    let acknowledged: Vec<_> = (0..5).map(|number| format!("acknowledged-{number}")).collect();
    let (during, early) = acknowledged.split_at(2);
    early.iter().try_for_each(|version| expect_status(&deployment.upload(version, "")?, 200, "an upload"))?;
    let held = start_held_upload(deployment);
    // The upload is under way when its source has answered the first half.
    sleep(Duration::from_secs(2));
    during
        .iter()
        .try_for_each(|version| expect_status(&deployment.upload(version, "")?, 200, "an upload beside another"))?;
    if held.is_finished() {
        return Err(Failure::new("the upload that should be held has ended"));
    }
    deployment.project.run(["kill", "--signal", "KILL", "store"])?;
    let status = held.join().map_err(|_| Failure::new("the held upload panicked"))??;
    if ![502, 503].contains(&status) {
        return Err(Failure::new(format!("an upload whose store was killed was answered {status}")));
    }
    deployment.project.replace("store")?;
    deployment.answers_again("after-kill")?;
    for version in &acknowledged {
        expect_code(&deployment.upload(version, "")?, "PACKAGE_ALREADY_EXISTS")?;
    }
    let added = count_rows(deployment)? - before;
    if added != acknowledged.len() as u64 + 1 {
        return Err(Failure::new(format!("{added} rows were added for {} replies", acknowledged.len() + 1)));
    }
    expect_status(&deployment.upload("held", "")?, 200, "the upload that was cut off, again")
}

fn start_held_upload(deployment: &Deployment) -> thread::JoinHandle<Outcome<u16>> {
    let (port, credentials) = (deployment.gateways[0], deployment.credentials.clone());
    let url = format!("{}?pause_ms={HELD_MS}", deployment.sample.url);
    let body = json!({"package_url": url, "version": "held"}).to_string();
    thread::spawn(move || Ok(upload::send_upload(port, &credentials, &body)?.status()))
}

/// How many rows there are, once every package was read and found right.
fn count_rows(deployment: &Deployment) -> Outcome<u64> {
    parse_summary(&deployment.project.exec("store", &[STORE, "verify", "--json"])?)
}

pub fn parse_summary(report: &str) -> Outcome<u64> {
    let last = report.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last).trying(|| format!("read the report {report:?}"))?;
    let rows = summary["summary"]["rows"].as_u64().filter(|_| summary["summary"]["findings"] == 0);
    rows.ok_or_else(|| Failure::new(format!("`verify` found damage, see its report: {report}")))
}

/// Volumes outlive their containers; a directory of an earlier release is opened by this one.
pub fn check_volumes(deployment: &Deployment) -> Outcome<()> {
    let before = count_rows(deployment)?;
    deployment.project.exec("store", &[STORE, "backup", BACKUP])?;
    deployment.project.run(["down", "--timeout", "20"])?;
    let remaining = without_the_demo(deployment)?;
    run(deployment
        .project
        .docker()
        .command(["volume", "rm", &format!("{}_data", deployment.project.name())])
        .stdout(Stdio::null()))?;
    deployment.project.run_once("store", &["restore", BACKUP])?;
    deployment.project.up()?;
    let restored = count_rows(deployment)?;
    if (remaining, restored) != (before, before) {
        return Err(Failure::new(format!(
            "of {before} rows {remaining} were there again, and {restored} after a restore"
        )));
    }
    deployment.answers_again("after-restore")?;
    expect_code(&deployment.upload("1.0.0", "")?, "PACKAGE_ALREADY_EXISTS")?;
    check_old_data(deployment)
}

/// The file as it is for who has no policy of their own yet: everything is healthy, and nobody is let in. Returns how
/// many rows there are.
fn without_the_demo(deployment: &Deployment) -> Outcome<u64> {
    deployment.project.with_profiles(&[]);
    deployment.project.up()?;
    let refused = deployment.upload("nobody", "")?;
    let rows = count_rows(deployment)?;
    deployment.project.run(["down", "--timeout", "20"])?;
    deployment.project.with_profiles(PROFILES);
    if refused.status() == 400 && refused.field("code_name").is_some_and(|name| name == "INVALID_ARGS") {
        return Ok(rows);
    }
    Err(Failure::new(format!("policy.yaml as it stands must let nobody in:\n{refused}")))
}

fn check_old_data(deployment: &Deployment) -> Outcome<()> {
    let docker = deployment.project.docker();
    let volume = format!("{}_old-data", deployment.project.name());
    let keys = format!("{}_public-keys:/keys/public:ro", deployment.project.name());
    let mount = format!("{volume}:/data");
    let mut create =
        docker.command(["create", "--network", "none", "--read-only", "--volume", &mount, "--volume", &keys]);
    create.args(["--env", "LINKGATE_JWT_PUBLIC_KEYS=linkgate=/keys/public", &images::image_name("store", TAG)]);
    let container = capture(&mut create)?;
    let container = container.trim();
    let tried = try_old_data(deployment, container);
    if tried.is_err() {
        run(&mut docker.command(["logs", container]))?;
    }
    docker.succeeds(["rm", "--force", container]);
    docker.succeeds(["volume", "rm", &volume]);
    tried
}

fn try_old_data(deployment: &Deployment, container: &str) -> Outcome<()> {
    let docker = deployment.project.docker();
    let packed = fs::read(deployment.root.join(OLD_DATA)).trying(|| format!("read {OLD_DATA}"))?;
    let archive = rename_catalog(&packed).trying(|| format!("unpack {OLD_DATA}"))?;
    let mut copy = docker.command(["cp", "-", &format!("{container}:/data")]);
    let mut copying = copy.stdin(Stdio::piped()).spawn().trying(|| "run docker cp".to_owned())?;
    let written = copying.stdin.take().map_or(Ok(()), |mut input| input.write_all(&archive));
    written.trying(|| format!("copy {OLD_DATA}"))?;
    if !copying.wait().trying(|| "run docker cp".to_owned())?.success() {
        return Err(Failure::new(format!("{OLD_DATA} could not be copied into a volume")));
    }
    run(docker.command(["start", container]).stdout(Stdio::null()))?;
    deployment
        .wait_until("a store with an old data directory", || docker.succeeds(["exec", container, STORE, "health"]))?;
    let found = parse_summary(&capture(&mut docker.command(["exec", container, STORE, "verify", "--json"]))?)?;
    if found != OLD_ROWS {
        return Err(Failure::new(format!("a data directory with {OLD_ROWS} rows has {found} for this release")));
    }
    Ok(())
}

/// What the store tells the operator of such a directory to do.
fn rename_catalog(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut old = tar::Archive::new(GzDecoder::new(packed));
    let mut renamed = tar::Builder::new(Vec::new());
    for entry in old.entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        if entry.path()?.ends_with("ledger.sqlite3") {
            header.set_path("catalog.sqlite3")?;
            header.set_cksum();
        }
        renamed.append(&header, &mut entry)?;
    }
    renamed.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn the_old_catalog_gets_its_new_name_and_keeps_its_owner() {
        let packed = fs::read(Workspace::find().unwrap().path(OLD_DATA)).unwrap();
        let renamed = rename_catalog(&packed).unwrap();
        let mut archive = tar::Archive::new(renamed.as_slice());
        let owners: Vec<_> = archive
            .entries()
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.path().unwrap().extension().is_some_and(|extension| extension == "sqlite3"))
            .map(|entry| (entry.path().unwrap().display().to_string(), entry.header().uid().unwrap()))
            .collect();
        assert_eq!(owners, [("catalog.sqlite3".to_owned(), 65_532)]);
    }
}
