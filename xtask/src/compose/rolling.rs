//! Keys, upgrades and rollbacks, while callers go on.

use std::thread;

use serde_json::json;

use super::deployment::{Deployment, TAG, expect_status};
use super::load::Load;
use crate::error::{Failure, Outcome};
use crate::up::demo::Credentials;
use crate::up::upload;

/// The tag of the version that is upgraded to.
pub const NEXT: &str = "check-next";
const GATEWAYS: [&str; 2] = ["gateway", "gateway-2"];
const LINKGATE: &str = "/usr/local/bin/linkgate";
/// The pairs of keys, by their names.
const OLD_KEY: &str = "jwt";
const NEW_KEY: &str = "jwt-next";
const FOLDERS: [&str; 2] = ["--to=/keys/private", "--public-to=/keys/public"];
/// An upload that is under way while its gateway is taken out of service.
const SLOW_MS: u64 = 6_000;

/// Everything that is done to running gateways, under one load: not a single request fails.
pub fn check_rolling_update(deployment: &Deployment) -> Outcome<()> {
    let load = Load::start(deployment.gateways, &deployment.credentials, &deployment.sample.url);
    let outcome = under_load(deployment);
    // The load ends in either case; what went wrong first is what counts.
    let tally = load.finish();
    outcome?;
    let [one, two] = tally?.good;
    println!("{one} and {two} requests through the gateways, none failed");
    after_load(deployment)
}

fn under_load(deployment: &Deployment) -> Outcome<()> {
    // The new public key is trusted before anybody signs with the private one.
    deployment.project.set("LINKGATE_KEY", NEW_KEY);
    deployment.project.run_once("keys", &[])?;
    reload_keys(deployment, 2)?;
    // One step for both: gateways with the new key and of the new version.
    deployment.project.set("LINKGATE_VERSION", NEXT);
    let slow = upload_slowly(deployment);
    for gateway in GATEWAYS {
        replace(deployment, gateway)?;
    }
    let answered = slow.join().map_err(|_| Failure::new("the slow upload panicked"))??;
    if answered != 200 {
        return Err(Failure::new(format!("an upload under way was answered {answered} when its gateway was drained")));
    }
    // The way back, for one of them.
    deployment.project.set("LINKGATE_VERSION", TAG);
    replace(deployment, GATEWAYS[1])
}

/// The upload goes through the gateway that is replaced first.
fn upload_slowly(deployment: &Deployment) -> thread::JoinHandle<Outcome<u16>> {
    let (port, credentials) = (deployment.gateways[0], deployment.credentials.clone());
    let url = format!("{}?pause_ms={SLOW_MS}", deployment.sample.url);
    thread::spawn(move || send_slow_upload(port, &credentials, &url))
}

fn send_slow_upload(port: u16, credentials: &Credentials, url: &str) -> Outcome<u16> {
    let body = json!({"package_url": url, "version": "while-draining"}).to_string();
    Ok(upload::send_upload(port, credentials, &body)?.status())
}

/// Takes a gateway out of service, and starts one with the present settings instead.
fn replace(deployment: &Deployment, gateway: &str) -> Outcome<()> {
    deployment.project.exec(gateway, &[LINKGATE, "envoy", "drain", "--notice", "2s", "--wait", "60s"])?;
    deployment.project.replace(gateway)
}

fn reload_keys(deployment: &Deployment, keys: usize) -> Outcome<()> {
    deployment.project.run(["kill", "--signal", "HUP", "store"])?;
    let message = format!("Read the keys again: {keys} are trusted");
    deployment.wait_until(&format!("the store trusts {keys} keys"), || {
        deployment.project.capture(["logs", "--no-color", "store"]).is_ok_and(|log| log.contains(&message))
    })
}

/// The old key is forgotten once no token that it signed is good any more.
fn after_load(deployment: &Deployment) -> Outcome<()> {
    let remove = ["keys", "remove", "--name", OLD_KEY];
    deployment.project.run_once("keys", &[&remove[..], &FOLDERS[..]].concat())?;
    reload_keys(deployment, 1)?;
    for (number, gateway) in deployment.gateways.into_iter().enumerate() {
        expect_status(
            &deployment.upload_through(gateway, &format!("new-key-{number}"), "")?,
            200,
            "a request signed with the new key",
        )?;
    }
    // The store has no second one beside it: it is away for a moment, and comes back to the same volume.
    for version in [NEXT, TAG] {
        deployment.project.set("LINKGATE_VERSION", version);
        deployment.project.replace("store")?;
        deployment.answers_again(&format!("store-{version}"))?;
    }
    Ok(())
}
