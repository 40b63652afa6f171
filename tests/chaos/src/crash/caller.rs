//! A caller of a campaign: it uploads, overwrites and deletes versions of an application of its own, one after the other,
//! and remembers what was acknowledged.
//!
//! Promises: at most one deed of a caller is in doubt, the one that was under way when the store died; nothing is done after
//! it until it is settled.

mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::sleep;

use super::ground::Power;
use super::packages::{Package, Packages};
use linkgate_tests::{DataDirectory, LinkRequestBuilder, Reply};

/// Live versions of a caller from which on it rather deletes.
const ENOUGH: usize = 8;
/// Between two questions about an upload.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// A version of a module of the caller's application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The module.
    pub module: String,
    /// The version.
    pub version: String,
}

/// What was acknowledged of a version that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its row.
    pub id: i64,
    /// Its package.
    pub sha256: String,
}

/// What was asked for and never answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A package for a version, new or not.
    Upload(String),
    /// The same, and that it will be done was answered: only that it is was not.
    Promised(String),
    /// That the version is deleted.
    Delete,
    /// That the package of this number is live again.
    Restore(i64),
}

/// What was done, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deeds {
    /// Versions that are new.
    pub uploads: u64,
    /// Versions that were replaced.
    pub overwrites: u64,
    /// Versions that were deleted.
    pub deletes: u64,
    /// Of these, versions that were restored.
    pub restores: u64,
    /// Pins that were made or taken away.
    pub pins: u64,
    /// Uploads that were promised, whether their end was heard of or not.
    pub promises: u64,
    /// Lists and downloads that were as acknowledged.
    pub reads: u64,
    /// Refused, as they should be.
    pub refusals: u64,
}

impl Display for Deeds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { uploads, overwrites, deletes, restores, pins, promises, reads, refusals } = self;
        writeln!(
            f,
            "acknowledged: {uploads} new versions, {overwrites} overwrites, {deletes} deletes, {restores} restores, {pins} pins"
        )?;
        writeln!(f, "uploads that were promised before they were done: {promises}")?;
        writeln!(f, "lists and downloads that had what was acknowledged: {reads}")?;
        write!(f, "refused as they should be: {refusals}")
    }
}

impl Deeds {
    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.uploads += other.uploads;
        self.overwrites += other.overwrites;
        self.deletes += other.deletes;
        self.restores += other.restores;
        self.pins += other.pins;
        self.promises += other.promises;
        self.reads += other.reads;
        self.refusals += other.refusals;
    }
}

/// A caller, and all that it knows.
#[derive(Debug)]
pub struct Caller {
    /// Its application.
    pub app: String,
    /// The versions that are there.
    pub live: BTreeMap<Key, Live>,
    /// Rows that were deleted.
    pub deleted: BTreeSet<i64>,
    /// Of these, those that can be restored: their version and their package.
    pub restorable: BTreeMap<i64, (Key, String)>,
    /// Rows that are pinned, and those that may be.
    pins: Pins,
    /// What nobody answered.
    pub doubt: Option<(Key, Doubt)>,
    /// What was acknowledged since the last look.
    pub deeds: Deeds,
    /// Answers that were wrong.
    pub wrong: Vec<String>,
    rng: Rng,
    versions: u32,
}

/// What is known of the pins of a caller's rows.
#[derive(Debug, Default)]
struct Pins {
    surely: BTreeSet<i64>,
    perhaps: BTreeSet<i64>,
}

/// When a store may say that it fails: that leaves its caller in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayFail {
    /// It may not.
    Never,
    /// When it is stopped, and then only as `docs/API.md` has it.
    Stopping,
    /// Whenever something else is away.
    Always,
}

impl MayFail {
    fn allows(self, status: u16, code: Option<&str>) -> bool {
        match self {
            Self::Never => false,
            Self::Stopping => status == 503 && code == Some("SERVICE_UNAVAILABLE"),
            // A store that stood still finds that it has waited for its turn to read for long enough.
            Self::Always => status >= 500 || status == 429 && code == Some("TOO_MANY_REQUESTS"),
        }
    }
}

/// What a caller needs in a round.
pub struct Round<'a> {
    /// The packages.
    pub packages: &'a Packages,
    /// The data directory, where a platform deletes; `None`: it does not.
    pub directory: Option<DataDirectory>,
    /// A request that is valid.
    pub request: LinkRequestBuilder,
    /// Tokens for other actions.
    pub tokens: BTreeMap<&'static str, String>,
    /// Where the stores are. Any of them will do for anything.
    pub bases: Vec<String>,
    /// The number of the round: new modules are registered all the time.
    pub number: u32,
    /// Whether there is power. What is answered when there is none any more, nobody has ever heard.
    pub power: Power,
    /// Whether a store may say that it fails.
    pub may_fail: MayFail,
    /// Whether callers are to end.
    pub is_over: AtomicBool,
}

/// Whether the store still answers.
enum Next {
    Go,
    End,
}

impl Caller {
    /// A caller that has done nothing yet.
    #[must_use]
    pub fn new(number: usize, seed: u64) -> Self {
        Self {
            app: format!("caller-{number}"),
            live: BTreeMap::new(),
            deleted: BTreeSet::new(),
            restorable: BTreeMap::new(),
            pins: Pins::default(),
            doubt: None,
            deeds: Deeds::default(),
            wrong: Vec::new(),
            rng: Rng::with_seed(seed),
            versions: 0,
        }
    }

    /// Forgets everything, for a new data directory.
    pub fn forget(&mut self) {
        self.live.clear();
        self.deleted.clear();
        self.restorable.clear();
        self.pins = Pins::default();
    }

    /// Calls until a store does not answer any more, or the round is over.
    pub async fn call(&mut self, round: &Round<'_>) {
        while !round.is_over.load(Ordering::Relaxed) {
            if let Next::End = self.deed(round).await {
                return;
            }
        }
    }

    /// What a store of these replies. `None` if it does not, or if it fails and may do so.
    async fn ask(&mut self, round: &Round<'_>, request: LinkRequestBuilder) -> Result<Option<Reply>, reqwest::Error> {
        let reply = Reply::read(self.open(round, request).await?).await?;
        let counts =
            *round.power.read().await && !round.may_fail.allows(reply.status, reply.header("bkapi-error-code"));
        Ok(counts.then_some(reply))
    }

    /// The head of a reply of any store. One that cannot be connected to is passed over, as a load balancer does it.
    async fn open(&mut self, round: &Round<'_>, request: LinkRequestBuilder) -> Result<Response, reqwest::Error> {
        let stores = round.bases.len();
        let first = if stores == 1 { 0 } else { self.rng.usize(..stores) };
        let mut tried = 1;
        loop {
            let base = &round.bases[(first + tried) % stores];
            match request.clone().try_open(base).await {
                Err(error) if error.is_connect() && tried < stores => tried += 1,
                opened => return opened,
            }
        }
    }

    async fn deed(&mut self, round: &Round<'_>) -> Next {
        let keys: Vec<Key> = self.live.keys().cloned().collect();
        let known = self.rng.choice(&keys).cloned();
        let roll = self.rng.usize(..100);
        match known {
            Some(key) if self.live.len() > ENOUGH || roll < 15 => self.delete(round, key).await,
            Some(key) if roll < 50 => self.upload(round, key, true).await,
            Some(key) if roll < 55 => self.repeat(round, &key).await,
            Some(key) if roll < 60 => self.pin(round, &key).await,
            Some(key) if roll < 64 => self.unpin(round, &key).await,
            Some(key) if roll < 70 && round.tokens.contains_key("read") => self.read(round, &key).await,
            _ if roll < 72 && !self.restorable.is_empty() => self.restore(round).await,
            _ => {
                let key = self.new_key(round.number);
                self.upload(round, key, roll.is_multiple_of(2)).await
            }
        }
    }

    fn new_key(&mut self, round: u32) -> Key {
        let module = if self.rng.u8(..100) < 30 { format!("module-{round}") } else { "default".to_owned() };
        // Now and then one that was there already: a deleted version may come back.
        if self.rng.u8(..100) < 80 {
            self.versions += 1;
        }
        let key = Key { module, version: format!("v{}", self.versions) };
        if self.live.contains_key(&key) { self.new_key(round) } else { key }
    }

    async fn upload(&mut self, round: &Round<'_>, key: Key, may_overwrite: bool) -> Next {
        let package = round.packages.get(self.rng.usize(..round.packages.count()));
        if self.rng.u8(..100) < 25 {
            return self.send_file(round, key, package, may_overwrite).await;
        }
        let mut request = round.of(&self.app, &key, package);
        if may_overwrite {
            request = request.overwriting();
        }
        if self.rng.u8(..100) < 30 {
            request = request.field("sha256", package.sha256.clone());
        }
        if self.rng.u8(..100) < 30 {
            request = request.field("size", package.size);
        }
        if self.rng.u8(..100) < 30 {
            request = request.header("prefer", "respond-async");
        }
        let doubt = Doubt::Upload(package.sha256.clone());
        match self.send(round, request, &key, doubt).await {
            Some(reply) if reply.status == 200 => self.acknowledged(key, package, &reply.json()),
            Some(reply) if reply.status == 202 => self.promised(round, key, package, &reply).await,
            Some(reply) => self.unexpected(&format!("an upload of {key:?}"), &reply),
            None => Next::End,
        }
    }

    /// The same as a file that the caller sends itself.
    async fn send_file(&mut self, round: &Round<'_>, key: Key, package: &Package, may_overwrite: bool) -> Next {
        let query = format!("version={}&allow_overwrite={may_overwrite}", key.version);
        let mut request = round.file(&self.app, &key, package, &query);
        if self.rng.bool() {
            request = request.header("x-checksum-sha256", &package.sha256);
        }
        let doubt = Doubt::Upload(package.sha256.clone());
        match self.send(round, request, &key, doubt).await {
            Some(reply) if reply.status == 200 => self.acknowledged(key, package, &reply.json()),
            Some(reply) => self.unexpected(&format!("a file for {key:?}"), &reply),
            None => Next::End,
        }
    }

    /// From this reply on the upload must be done, sooner or later, whatever happens. Asks until it is.
    async fn promised(&mut self, round: &Round<'_>, key: Key, package: &Package, reply: &Reply) -> Next {
        self.doubt = Some((key.clone(), Doubt::Promised(package.sha256.clone())));
        self.deeds.promises += 1;
        let place = reply.header("location").unwrap_or_default().to_owned();
        loop {
            let question = round.about(&self.app, &key, &place);
            let Ok(Some(reply)) = self.ask(round, question).await else { return Next::End };
            if reply.status != 200 {
                return self.unexpected(&format!("a question about {key:?}"), &reply);
            }
            let document = reply.json();
            match document["state"].as_str() {
                Some("done") => return self.acknowledged(key, package, &document["package"]),
                Some("queued" | "fetching" | "storing") => sleep(ASK_EVERY).await,
                _ => return self.unexpected(&format!("a question about {key:?}"), &reply),
            }
        }
    }

    /// What counts as acknowledged is said here: from this reply on the package must be there, whatever happens.
    fn acknowledged(&mut self, key: Key, package: &Package, body: &Value) -> Next {
        self.doubt = None;
        let id = body["id"].as_i64().unwrap_or_default();
        let said = (body["sha256_signature"].as_str(), body["package_size"].as_str().map(str::to_owned));
        if said != (Some(&package.sha256), Some(package.size.to_string())) {
            self.wrong.push(format!("{key:?} was answered as another package: {body}"));
        }
        match self.live.insert(key, Live { id, sha256: package.sha256.clone() }) {
            Some(before) if before.id != id => self.wrong.push(format!("an overwrite made row {id} of {}", before.id)),
            Some(_) => self.deeds.overwrites += 1,
            None => self.deeds.uploads += 1,
        }
        Next::Go
    }

    /// A version that is there, without leave to overwrite it.
    async fn repeat(&mut self, round: &Round<'_>, key: &Key) -> Next {
        let package = round.packages.get(self.rng.usize(..round.packages.count()));
        let request = round.of(&self.app, key, package);
        // Nothing may come of it in any case, so nothing is in doubt.
        let Ok(Some(reply)) = self.ask(round, request).await else { return Next::End };
        if reply.status == 400 && reply.json()["code"] == "PACKAGE_ALREADY_EXISTS" {
            self.deeds.refusals += 1;
            return Next::Go;
        }
        self.unexpected(&format!("a repetition of {key:?}"), &reply)
    }

    async fn send(&mut self, round: &Round<'_>, request: LinkRequestBuilder, key: &Key, doubt: Doubt) -> Option<Reply> {
        self.doubt = Some((key.clone(), doubt));
        match self.ask(round, request).await {
            Ok(reply) => reply,
            Err(error) => {
                if error.is_connect() {
                    // It never reached the store.
                    self.doubt = None;
                }
                None
            }
        }
    }

    /// Deletes a version in one of two ways.
    async fn delete(&mut self, round: &Round<'_>, key: Key) -> Next {
        let by_request = self.rng.bool() || round.directory.is_none();
        match (self.live.get(&key).cloned().filter(|_| by_request), &round.directory) {
            (Some(live), _) => self.delete_by_request(round, key, live).await,
            (None, Some(directory)) => self.delete_in_catalog(round, directory, key).await,
            (None, None) => Next::Go,
        }
    }

    /// It can be restored then.
    async fn delete_by_request(&mut self, round: &Round<'_>, key: Key, live: Live) -> Next {
        let request = round.change(&self.app, &key, "delete", Method::DELETE, &format!("{}/", live.id));
        let is_pinned = self.pins.surely.contains(&live.id);
        match self.send(round, request, &key, Doubt::Delete).await {
            Some(reply) if reply.status == 200 && !is_pinned => {
                self.doubt = None;
                self.live.remove(&key);
                self.deleted.insert(live.id);
                self.restorable.insert(live.id, (key, live.sha256));
                self.deeds.deletes += 1;
                Next::Go
            }
            Some(reply) if reply.status == 409 && self.pins.perhaps.contains(&live.id) => {
                self.doubt = None;
                self.deeds.refusals += 1;
                Next::Go
            }
            Some(reply) => self.unexpected(&format!("deleting {key:?}, pinned: {is_pinned}"), &reply),
            None => Next::End,
        }
    }

    async fn restore(&mut self, round: &Round<'_>) -> Next {
        let ids: Vec<i64> = self.restorable.keys().copied().collect();
        let Some(id) = self.rng.choice(ids) else { return Next::Go };
        let Some((key, sha256)) = self.restorable.get(&id).cloned() else { return Next::Go };
        let request = round.change(&self.app, &key, "restore", Method::POST, &format!("{id}/restore/"));
        let is_taken = self.live.contains_key(&key);
        match self.send(round, request, &key, Doubt::Restore(id)).await {
            Some(reply) if reply.status == 200 && !is_taken => {
                self.doubt = None;
                self.restorable.remove(&id);
                self.deleted.remove(&id);
                self.live.insert(key, Live { id, sha256 });
                self.deeds.restores += 1;
                Next::Go
            }
            Some(reply) if reply.status == 400 && is_taken => {
                self.doubt = None;
                self.deeds.refusals += 1;
                Next::Go
            }
            Some(reply) => self.unexpected(&format!("restoring {key:?} as row {id}"), &reply),
            None => Next::End,
        }
    }

    /// Nothing that is held against the store depends on whether a pin came about of which nobody heard.
    async fn pin(&mut self, round: &Round<'_>, key: &Key) -> Next {
        let Some(id) = self.live.get(key).map(|live| live.id) else { return Next::Go };
        self.pins.perhaps.insert(id);
        let request = round.change(&self.app, key, "pin", Method::PUT, &format!("{id}/pins/in-use/"));
        match self.ask(round, request).await {
            Ok(Some(reply)) if reply.status == 200 => {
                self.pins.surely.insert(id);
                self.deeds.pins += 1;
                Next::Go
            }
            Ok(Some(reply)) => self.unexpected(&format!("pinning {key:?}"), &reply),
            Ok(None) | Err(_) => Next::End,
        }
    }

    async fn unpin(&mut self, round: &Round<'_>, key: &Key) -> Next {
        let Some(id) = self.live.get(key).map(|live| live.id) else { return Next::Go };
        let was_pinned = self.pins.surely.remove(&id);
        let request = round.change(&self.app, key, "pin", Method::DELETE, &format!("{id}/pins/in-use/"));
        match self.ask(round, request).await {
            Ok(Some(reply)) if reply.status == 200 || (reply.status == 404 && !was_pinned) => {
                self.pins.perhaps.remove(&id);
                self.deeds.pins += 1;
                Next::Go
            }
            Ok(Some(reply)) => self.unexpected(&format!("unpinning {key:?}, pinned: {was_pinned}"), &reply),
            Ok(None) | Err(_) => Next::End,
        }
    }

    /// As a platform does it: in the catalog.
    async fn delete_in_catalog(&mut self, round: &Round<'_>, directory: &DataDirectory, key: Key) -> Next {
        // Held until it is done: the catalog maps a file into this process, which would die with the disk under it.
        let power = round.power.read().await;
        if !*power {
            return Next::End;
        }
        self.doubt = Some((key.clone(), Doubt::Delete));
        match directory.delete(&self.app, &key.module, &key.version).await {
            Ok(1) => {
                self.doubt = None;
                self.deleted.extend(self.live.remove(&key).map(|live| live.id));
                self.deeds.deletes += 1;
                Next::Go
            }
            Ok(rows) => {
                self.wrong.push(format!("deleting {key:?} of {} changed {rows} rows", self.app));
                Next::End
            }
            Err(error) => {
                self.wrong.push(format!("deleting {key:?} of {}: {error}", self.app));
                Next::End
            }
        }
    }

    /// The same while no store runs.
    pub async fn delete_one(&mut self, directory: &DataDirectory, for_good: bool) {
        let keys: Vec<Key> = self.live.keys().cloned().collect();
        let Some(key) = self.rng.choice(&keys) else { return };
        let deleted = if for_good {
            directory.delete_for_good(&self.app, &key.module, &key.version).await
        } else {
            directory.delete(&self.app, &key.module, &key.version).await
        };
        match deleted {
            Ok(1) => {
                self.deleted.extend(self.live.remove(key).map(|live| live.id));
                self.deeds.deletes += 1;
            }
            other => self.wrong.push(format!("deleting {key:?} of {}: {other:?}", self.app)),
        }
    }

    /// A clean-up has deleted these rows; they can be restored.
    pub fn lose(&mut self, ids: &BTreeSet<i64>) {
        let lost: Vec<_> =
            self.live.iter().filter(|(_, live)| ids.contains(&live.id)).map(|(key, _)| key.clone()).collect();
        for key in lost {
            if let Some(live) = self.live.remove(&key) {
                self.deleted.insert(live.id);
                self.restorable.insert(live.id, (key, live.sha256));
                self.deeds.deletes += 1;
            }
        }
    }

    fn unexpected(&mut self, what: &str, reply: &Reply) -> Next {
        self.wrong.push(format!("{what} was answered {}: {}", reply.status, reply.body));
        Next::End
    }
}

impl Round<'_> {
    fn about(&self, app: &str, key: &Key, place: &str) -> LinkRequestBuilder {
        let path = format!("/bkapps/applications/{app}/modules/{}/source_package/link/{place}", key.module);
        self.request.clone().method(Method::GET).path(path).raw_body("").content_type(None)
    }

    fn file(&self, app: &str, key: &Key, package: &Package, query: &str) -> LinkRequestBuilder {
        let name = package.file_name();
        let path = format!("/bkapps/applications/{app}/modules/{}/source_package/upload/{name}?{query}", key.module);
        self.request.clone().put_file(&name, query, self.packages.bytes(package.number)).path(path)
    }

    /// A change of a stored package, with a token for it.
    fn change(&self, app: &str, key: &Key, action: &str, method: Method, path: &str) -> LinkRequestBuilder {
        let path = format!("/bkapps/applications/{app}/modules/{}/source_package/{path}", key.module);
        let request = self.request.clone().method(method).path(path).raw_body("").content_type(None);
        request.token(self.tokens.get(action).cloned())
    }

    fn of(&self, app: &str, key: &Key, package: &Package) -> LinkRequestBuilder {
        let link = self.packages.url(package.number);
        self.request.clone().module(app, &key.module).version(&key.version).field("package_url", link)
    }
}
