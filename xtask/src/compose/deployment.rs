//! A running project: what the cases of the check ask of it, and what they expect.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::project::Project;
use crate::error::{Failure, Outcome};
use crate::poll::poll_until;
use crate::up::demo::Credentials;
use crate::up::sample::Sample;
use crate::up::upload::{self, Reply};

/// What the images are tagged with, so that nobody takes them for others.
pub const TAG: &str = "check";

/// How long anything may take to come about.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_PAUSE: Duration = Duration::from_millis(200);

/// A running project, and what it takes to speak to it.
pub struct Deployment {
    /// Its containers.
    pub project: Project,
    /// The ports of its gateways.
    pub gateways: [u16; 2],
    /// Of the demo's caller.
    pub credentials: Credentials,
    /// The package that its origin serves.
    pub sample: Sample,
    /// The folder of the repository.
    pub root: PathBuf,
}

impl Deployment {
    /// Waits until something is so.
    pub fn wait_until(&self, what: &str, holds: impl Fn() -> bool) -> Outcome<()> {
        match poll_until(TIMEOUT, POLL_PAUSE, || Ok(holds()))? {
            true => Ok(()),
            false => Err(Failure::new(format!("{what}: not within {} s", TIMEOUT.as_secs()))),
        }
    }

    /// Waits until both gateways have found the store again, and uploads one more version.
    pub fn answers_again(&self, version: &str) -> Outcome<()> {
        let refused = |gateway| self.upload_through(gateway, "1.0.0", "").is_ok_and(|reply| reply.status() == 400);
        self.wait_until("both gateways reach the store", || self.gateways.into_iter().all(refused))?;
        expect_status(&self.upload(version, "")?, 200, "an upload after the store came back")
    }

    /// Uploads the sample as this version through the first gateway.
    pub fn upload(&self, version: &str, query: &str) -> Outcome<Reply> {
        self.upload_through(self.gateways[0], version, query)
    }

    /// Uploads the sample as this version.
    pub fn upload_through(&self, gateway: u16, version: &str, query: &str) -> Outcome<Reply> {
        let url = format!("{}{query}", self.sample.url);
        upload::send_upload(gateway, &self.credentials, &json!({"package_url": url, "version": version}).to_string())
    }
}

/// Fails unless the reply has this status.
pub fn expect_status(reply: &Reply, status: u16, what: &str) -> Outcome<()> {
    if reply.status() == status {
        return Ok(());
    }
    Err(Failure::new(format!("{what} must be answered with {status}:\n{reply}")))
}

/// Fails unless the reply is a refusal with this code.
pub fn expect_code(reply: &Reply, code: &str) -> Outcome<()> {
    if reply.status() >= 400 && reply.field("code").is_some_and(|value| value == code) {
        return Ok(());
    }
    Err(Failure::new(format!("this must be refused with {code}:\n{reply}")))
}
