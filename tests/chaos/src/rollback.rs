//! A data directory of a store of another release: upgraded, used, taken back, used, and upgraded again.
//!
//! Promises: between the releases it does what the list of changes tells operators to do, and no more. What a store of either
//! release acknowledged is there in both, and the `verify` of either finds nothing wrong.

mod report;

use std::collections::BTreeMap;
use std::fs;

use linkgate_tests::process::{Finished, SHIPPED, command_of};
use linkgate_tests::wait::wait_until;
use linkgate_tests::{Behaviour, FakeSource, Reply, StoreProcess, TokenMint, package_of, sha256_hex};
use reqwest::Method;
use serde_json::{Value, json};

pub use report::Report;

/// What the database is called, and what it was called in 0.1.
const CATALOG: &str = "catalog.sqlite3";
const OLD_CATALOG: &str = "ledger.sqlite3";
/// What SQLite puts beside a database; gone after a stop, as a rule.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];
/// Where the source holds back what it has.
const SLOW: &str = "/slow.tgz";

/// Which release.
#[derive(Clone, Copy)]
enum Release {
    Before,
    This,
}

/// Takes a data directory from the program at this path to the store of this folder, back, and there again.
pub async fn run(before: String) -> Report {
    let mut trial = Trial::new(before).await;
    let store = trial.start(Release::Before);
    trial.upload(&store, "1.0").await;
    trial.upload(&store, "1.1").await;
    trial.upload(&store, "1.2").await;
    let accepted = trial.accept(&store, "1.3").await;
    trial.stop(Release::Before, store);

    trial.rename(OLD_CATALOG, CATALOG);
    let store = trial.start(Release::This);
    trial.complete(&store, &accepted, "1.3").await;
    trial.compare(&store).await;
    trial.upload(&store, "2.0").await;
    trial.overwrite(&store, "1.0").await;
    trial.pin(&store, "1.2").await;
    trial.delete(&store, "1.1").await;
    trial.stop(Release::This, store);

    trial.rename(CATALOG, OLD_CATALOG);
    let store = trial.start(Release::Before);
    trial.refuse_all(&store).await;
    trial.upload(&store, "0.9").await;
    trial.overwrite(&store, "1.3").await;
    trial.stop(Release::Before, store);

    trial.rename(OLD_CATALOG, CATALOG);
    let store = trial.start(Release::This);
    trial.compare(&store).await;
    trial.upload(&store, "2.1").await;
    trial.delete_pinned(&store, "1.2").await;
    trial.stop(Release::This, store);
    trial.report
}

struct Trial {
    /// The program of the release before.
    before: String,
    mint: TokenMint,
    source: FakeSource,
    data: tempfile::TempDir,
    /// Whether the release before knows the database by its old name.
    renames: bool,
    /// What was acknowledged and not deleted since: versions with the digests of their packages.
    stored: BTreeMap<String, String>,
    uploads: usize,
    report: Report,
}

impl Trial {
    async fn new(before: String) -> Self {
        Self {
            before,
            mint: TokenMint::new(),
            source: FakeSource::serving("").await,
            data: tempfile::tempdir().expect("there is space"),
            renames: false,
            stored: BTreeMap::new(),
            uploads: 0,
            report: Report::default(),
        }
    }

    fn program(&self, release: Release) -> &str {
        match release {
            Release::Before => &self.before,
            Release::This => SHIPPED,
        }
    }

    fn start(&self, release: Release) -> StoreProcess {
        let host = self.source.host();
        let settings = [
            ("LINKGATE_FETCH_ALLOWED_HOSTS", host.as_str()),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", &host),
            // What is held back is there again at the next start.
            ("LINKGATE_STORE_SHUTDOWN_GRACE_S", "1"),
        ];
        StoreProcess::start_program(self.program(release), self.data.path(), &settings, self.mint.again())
    }

    /// Stops the store, and lets it verify what it leaves.
    fn stop(&mut self, release: Release, store: StoreProcess) {
        store.stop();
        self.renames |= self.data.path().join(OLD_CATALOG).exists();
        let verified: Finished = command_of(self.program(release), self.data.path(), &["verify", "--json"], &[]);
        self.report.expect("`verify` finds nothing", verified.code == Some(0), &verified);
    }

    /// As the list of changes says, if the release before calls it otherwise.
    fn rename(&mut self, from: &str, to: &str) {
        if !self.renames {
            return;
        }
        for suffix in BESIDE {
            let [from, to] = [from, to].map(|name| self.data.path().join(format!("{name}{suffix}")));
            if from.exists() {
                fs::rename(from, to).expect("a file can be renamed");
            }
        }
    }

    /// A package of its own bytes, at the source.
    fn offer(&mut self) -> (String, String) {
        self.uploads += 1;
        let (path, package) = (format!("/{}.tgz", self.uploads), package_of(self.uploads.to_string()));
        let digest = sha256_hex(&package);
        self.source.on(&path, Behaviour::Bytes(package));
        (self.source.url_of(&path), digest)
    }

    async fn upload(&mut self, store: &StoreProcess, version: &str) {
        let (url, digest) = self.offer();
        let reply = store.send(store.request(url).version(version)).await;
        self.acknowledge(&reply, version, digest);
    }

    async fn overwrite(&mut self, store: &StoreProcess, version: &str) {
        let (url, digest) = self.offer();
        let reply = store.send(store.request(url).version(version).overwriting()).await;
        self.acknowledge(&reply, version, digest);
    }

    fn acknowledge(&mut self, reply: &Reply, version: &str, digest: String) {
        self.report.expect("an upload is acknowledged", reply.status == 200, reply);
        self.stored.insert(version.to_owned(), digest);
    }

    /// An upload that is accepted and does not end. Returns where it is asked for.
    async fn accept(&mut self, store: &StoreProcess, version: &str) -> String {
        let package = package_of("held back");
        self.stored.insert(version.to_owned(), sha256_hex(&package));
        self.source.on(SLOW, Behaviour::Held(package));
        let request = store.request(self.source.url_of(SLOW)).version(version).header("prefer", "respond-async");
        let reply = store.send(request).await;
        self.report.expect("an upload is accepted", reply.status == 202, &reply);
        reply.header("location").unwrap_or_default().to_owned()
    }

    /// Lets it end.
    async fn complete(&mut self, store: &StoreProcess, accepted: &str, version: &str) {
        self.source.release();
        let job = wait_until(async || {
            let job = store.read(&format!("link/{accepted}")).await.json();
            if job["ended"].is_null() { Err(format!("{version} did not end: {job}")) } else { Ok(job) }
        })
        .await;
        self.report.expect("what the release before accepted is done", job["state"] == "done", &job);
    }

    /// Holds what is listed, and can be downloaded, against what was acknowledged.
    async fn compare(&mut self, store: &StoreProcess) {
        let listed = list(store).await;
        let digests = listed.iter().map(|(version, row)| (version.clone(), text(row, "sha256_signature")));
        let found: BTreeMap<_, _> = digests.collect();
        self.report.expect("all that was acknowledged is listed", found == self.stored, &(&found, &self.stored));
        for (version, row) in &listed {
            let reply = store.send(store.below(Method::GET, &format!("{}/download/", row["id"]))).await;
            self.report.expect("every package can be downloaded", reply.status == 200, &(version, &reply));
        }
    }

    async fn pin(&mut self, store: &StoreProcess, version: &str) {
        let id = id(store, version).await;
        let reply = store.send(store.below(Method::PUT, &format!("{id}/pins/release/")).json(&json!({}))).await;
        self.report.expect("a package is pinned", reply.status == 200, &reply);
    }

    async fn delete(&mut self, store: &StoreProcess, version: &str) {
        let id = id(store, version).await;
        let reply = store.send(store.below(Method::DELETE, &format!("{id}/"))).await;
        self.report.expect("a package is deleted", reply.status == 200, &reply);
        self.stored.remove(version);
    }

    async fn delete_pinned(&mut self, store: &StoreProcess, version: &str) {
        let id = id(store, version).await;
        let reply = store.send(store.below(Method::DELETE, &format!("{id}/"))).await;
        self.report.expect("a pin lasts", reply.status == 409, &reply);
    }

    /// The release before lists nothing: what it has, it takes no second time.
    async fn refuse_all(&mut self, store: &StoreProcess) {
        for version in self.stored.keys().cloned().collect::<Vec<_>>() {
            let (url, _) = self.offer();
            let reply = store.send(store.request(url).version(&version)).await;
            let refused = reply.status == 400 && reply.body.contains("PACKAGE_ALREADY_EXISTS");
            self.report.expect("all that was acknowledged is there", refused, &(version, &reply));
        }
    }
}

async fn list(store: &StoreProcess) -> BTreeMap<String, Value> {
    let page = store.read("?limit=100").await.json();
    let rows = page["results"].as_array().cloned().unwrap_or_default();
    rows.into_iter().map(|row| (text(&row, "version"), row)).collect()
}

async fn id(store: &StoreProcess, version: &str) -> Value {
    list(store).await.get(version).map(|row| row["id"].clone()).unwrap_or_default()
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}
