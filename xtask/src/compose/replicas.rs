//! The profile `replicas`: two gateways and three stores behind a load balancer, of which one of each dies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::check::{find_demo, run_step};
use super::confined::check_services;
use super::deployment::TAG;
use super::durable::{STORE, parse_summary};
use super::project::Project;
use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::images::{self, Programs, stand_in};
use crate::poll::poll_until;
use crate::up::demo::Credentials;
use crate::up::ports::bind_free;
use crate::up::sample::Sample;
use crate::up::upload;
use crate::workspace::Workspace;

const PROFILES: &[&str] = &["demo", "replicas"];
/// What is started by its name, with all that it depends on.
const BALANCER: &str = "balancer";
/// Services, and the networks that each is in.
const SERVICES: [(&str, &[&str]); 12] = [
    (BALANCER, &["front"]),
    ("store-balancer", &["back"]),
    ("gateway-r1", &["back", "front"]),
    ("gateway-r2", &["back", "front"]),
    ("store-r1", &["back", "shared", "sources"]),
    ("store-r2", &["back", "shared", "sources"]),
    ("store-r3", &["back", "shared", "sources"]),
    ("postgres", &["shared"]),
    ("seaweedfs", &["shared"]),
    ("shared", &[]),
    ("statement-key", &[]),
    ("url-key", &[]),
];
/// Who dies, and at which store operators ask then.
const DYING: [&str; 2] = ["store-r1", "gateway-r1"];
const ASKED: &str = "store-r2";
/// Stores that there are.
const STORES: usize = 3;
/// Requests of each kind after each change: all that are left answer one, whoever is next.
const TURNS: usize = 6;
/// When it is known that a store is not there any more, or is again.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// Starts the profile, and tries it.
pub fn check(workspace: &Workspace, docker: &Docker) -> Outcome<()> {
    let begun = Instant::now();
    let programs = Programs::build(workspace, true)?;
    images::build_images(workspace, docker, &programs, &[TAG])?;
    stand_in::provide_servers(workspace, docker)?;
    println!("== images: {:.0} s", begun.elapsed().as_secs_f32());
    let [(_, port)] = bind_free()?;
    let settings = BTreeMap::from([
        ("LINKGATE_VERSION", TAG.to_owned()),
        ("LINKGATE_BALANCER_PUBLISH", format!("127.0.0.1:{port}")),
    ]);
    let project = Project::new(workspace, docker, settings, PROFILES)?;
    let outcome = run_cases(workspace, &project, port);
    if outcome.is_err() {
        project.show_logs();
    }
    drop(project);
    images::remove_images(docker, &[TAG]);
    stand_in::remove_servers(docker);
    outcome?;
    println!("ok: several stores in containers answer as one, {:.0} s", begun.elapsed().as_secs_f32());
    Ok(())
}

fn run_cases(workspace: &Workspace, project: &Project, port: u16) -> Outcome<()> {
    let (credentials, sample) = run_step("start", || {
        project.up_with_dependencies(BALANCER)?;
        find_demo(workspace, project)
    })?;
    let mut callers = Callers { port, credentials, sample, id: None };
    run_step("requests", || callers.call())?;
    run_step("confinement", || check_services(project, &SERVICES))?;
    run_step("the stores are seen", || await_running(project, STORES))?;
    for service in DYING {
        run_step(&format!("requests after {service} was killed"), || {
            project.run(["kill", "--signal", "KILL", service])?;
            callers.call()
        })?;
    }
    run_step("the store is seen to be gone", || await_running(project, STORES - 1))?;
    run_step("both come back", || {
        project.up_with_dependencies(BALANCER)?;
        await_running(project, STORES)?;
        callers.call()
    })?;
    run_step("what outlives containers", || {
        project.run(["down", "--timeout", "20"])?;
        project.up_with_dependencies(BALANCER)?;
        callers.call()?;
        verify(project)
    })
}

/// Those of the load balancer, and what they know of their package.
struct Callers {
    port: u16,
    credentials: Credentials,
    sample: Sample,
    id: Option<Value>,
}

impl Callers {
    /// Uploads, lists and downloads, so often that everybody has a turn.
    fn call(&mut self) -> Outcome<()> {
        (0..TURNS).try_for_each(|_| {
            self.upload()?;
            self.list()?;
            self.download()
        })
    }

    /// The package is one for all: it has the same number, whoever answers.
    fn upload(&mut self) -> Outcome<()> {
        let reply = upload::upload_sample(self.port, &self.credentials, &self.sample.url)?;
        upload::check_reply(&reply, &self.sample)?;
        let id = reply.field("id").cloned();
        if self.id.is_some() && self.id != id {
            return Err(Failure::new(format!("a package that is overwritten must have the same id:\n{reply}")));
        }
        self.id = id;
        Ok(())
    }

    fn list(&self) -> Outcome<()> {
        let listed = upload::read_below(self.port, &self.credentials, "?limit=10")?;
        let page: Value = serde_json::from_str(&listed.body).unwrap_or_default();
        let wanted = (json!(1), json!(self.sample.sha256), self.id.clone());
        let row = &page["results"][0];
        if (page["count"].clone(), row["sha256_signature"].clone(), row.get("id").cloned()) == wanted {
            return Ok(());
        }
        Err(Failure::new(format!("the list must have the package alone: {} {}", listed.status, listed.body)))
    }

    fn download(&self) -> Outcome<()> {
        let id = self.id.as_ref().and_then(Value::as_u64).unwrap_or_default();
        let reply = upload::read_below(self.port, &self.credentials, &format!("{id}/download/"))?;
        let found = hex::encode(Sha256::digest(&reply.bytes));
        if reply.status == 200 && found == self.sample.sha256 {
            return Ok(());
        }
        Err(Failure::new(format!("the package was not sent as it was uploaded: {} {found}", reply.status)))
    }
}

/// Waits until `linkgate-store replicas` says that so many stores run.
fn await_running(project: &Project, wanted: usize) -> Outcome<()> {
    let mut said = String::new();
    let is_so = poll_until(KNOWN_WITHIN, POLL_PAUSE, || {
        said = project.exec(ASKED, &[STORE, "replicas", "--json"])?;
        Ok(count_running(&said)? == wanted)
    })?;
    if is_so {
        println!("{}", project.exec(ASKED, &[STORE, "replicas"])?.trim_end());
        return Ok(());
    }
    Err(Failure::new(format!("`replicas` must say that {wanted} stores run:\n{said}")))
}

fn count_running(said: &str) -> Outcome<usize> {
    let lines: Result<Vec<Value>, _> = said.lines().map(serde_json::from_str).collect();
    let lines = lines.trying(|| format!("read {said:?}"))?;
    Ok(lines.iter().filter(|line| line["state"] == "running").count())
}

/// The one package is there, and nothing is wrong.
fn verify(project: &Project) -> Outcome<()> {
    match parse_summary(&project.exec(ASKED, &[STORE, "verify", "--json"])?)? {
        1 => Ok(()),
        rows => Err(Failure::new(format!("there must be one package, `verify` counts {rows}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_that_run_are_counted() {
        let said = "{\"holder\":\"a\",\"state\":\"running\"}\n{\"state\":\"silent\"}\n{\"jobs\":{\"claimed\":0}}\n";
        assert_eq!(count_running(said).unwrap(), 1);
        assert!(count_running("none").is_err());
    }
}
