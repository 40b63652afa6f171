//! Everything that can be done to packages, in any order, against a model of what should come of it.
//!
//! The model is a list of packages in memory. After each step the catalog, the blobs, the sums and the events must be what the
//! model says: no package has lost bytes that it needs, and no bytes are left that nobody needs. `PROPTEST_CASES` sets how many
//! runs there are.

mod model;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use linkgate_archive::{Format, Package};
use linkgate_contract::{CallerApp, JobId, Operator, PackageId, PackageVersion, PinName, Sha256};
use linkgate_store_core::conditions::Conditions;
use linkgate_store_core::ingest::ports::{
    Actor, BlobError, BlobReader as _, BlobStore as _, BlobWriter as _, BytesFrom, Catalog as _, CatalogError,
    CatalogReader as _, Change, ChangeError, Count, Fetched, JobRecord, JobRequest, NewPackage, NewPin, PackageDetail,
    PackageFilter, PackageKey, PackageOrder, PackagePage, PackageQuery, PackageReader as _, Provenance, Services,
};
use linkgate_store_core::ingest::{Allowance, now_ms};
use linkgate_store_core::lifecycle::{Lifecycle, LifecycleRules};
use linkgate_store_core::maintenance::{Gc, Purge};
use linkgate_store_core::metrics::Metrics;
use linkgate_store_core::retention::Cleanup;
use linkgate_store_core::settings::{
    Patterns, QueueLimits, Quota, QuotaRules, RetentionMode, RetentionOrder, RetentionRule,
};
use linkgate_store_core::testing::conformance::Adapters;
use linkgate_store_core::testing::{example_target, queued_view};
use proptest::prelude::*;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use self::model::{Model, Modelled};
use crate::Embedded;
use crate::conformance_tests::DataDirectory;
use crate::postgres_conformance_tests::PostgresMachine;

const CONTENTS: [&[u8]; 3] = [b"one", b"second", b"the third"];
const DAY_MS: i64 = 86_400_000;
/// The newest that the rule of clean-up keeps.
const KEPT: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Upload {
        version: u8,
        content: usize,
        overwrites: bool,
    },
    Delete {
        package: usize,
        force: bool,
    },
    Restore {
        package: usize,
        version: Option<u8>,
    },
    Pin {
        package: usize,
        name: u8,
        protects: bool,
    },
    Unpin {
        package: usize,
        name: u8,
    },
    /// An upload whose store dies in the middle of it.
    Die {
        version: u8,
        content: usize,
        overwrites: bool,
        at: Death,
    },
    /// Once the time of all deleted packages is over.
    Purge,
    CleanUp,
    Collect,
    Reopen,
}

/// Where in an upload a store dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// The bytes are written and have no name.
    Written,
    /// The bytes have their name and no row.
    Committed,
    /// The row is there, and bytes that it replaced are, too.
    Recorded,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (version, package, name) = (|| 0_u8..4, || 0_usize..6, || 0_u8..2);
    let step = prop_oneof![
        6 => (version(), 0..CONTENTS.len(), any::<bool>())
            .prop_map(|(version, content, overwrites)| Step::Upload { version, content, overwrites }),
        2 => (version(), 0..CONTENTS.len(), any::<bool>(), proptest::sample::select(&[Death::Written, Death::Committed, Death::Recorded][..]))
            .prop_map(|(version, content, overwrites, at)| Step::Die { version, content, overwrites, at }),
        4 => (package(), any::<bool>()).prop_map(|(package, force)| Step::Delete { package, force }),
        3 => (package(), proptest::option::of(version())).prop_map(|(package, version)| Step::Restore { package, version }),
        3 => (package(), name(), any::<bool>())
            .prop_map(|(package, name, protects)| Step::Pin { package, name, protects }),
        2 => (package(), name()).prop_map(|(package, name)| Step::Unpin { package, name }),
        2 => Just(Step::Purge),
        1 => Just(Step::CleanUp),
        1 => Just(Step::Collect),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

fn version(number: u8) -> PackageVersion {
    PackageVersion::new(&format!("v{number}")).unwrap()
}

fn digest(content: usize) -> Sha256 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, CONTENTS[content]);
    Sha256::from_bytes(digest.as_ref().try_into().unwrap())
}

fn actor() -> Actor {
    let operator = Some(Operator::new("admin").unwrap());
    Actor { app: Some(CallerApp::new("ci").unwrap()), operator, ..Actor::default() }
}

/// The adapters of a store, and what the model wants of them beside the ports.
#[allow(async_fn_in_trait, reason = "tests await them where they call them")]
pub(crate) trait Machine: Adapters {
    /// They, as a store names them.
    type Services: Services<Blobs = Self::Blobs, Catalog = Self::Catalog>;

    /// Where its data are.
    fn dir(&self) -> &Path;
    /// The time of all deleted packages is over.
    async fn make_due(&self);
    /// What happened to packages, in a word each.
    async fn events(&self) -> Vec<String>;
}

impl Machine for DataDirectory {
    type Services = Embedded;

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn make_due(&self) {
        self.execute("update source_package set purge_after_ms = 1 where is_deleted = 1").await;
    }

    async fn events(&self) -> Vec<String> {
        let file = SqliteConnectOptions::new().filename(self.dir.path().join("catalog.sqlite3"));
        let query = sqlx::query_scalar("select action from event order by id");
        query.fetch_all(&mut file.connect().await.unwrap()).await.unwrap()
    }
}

/// A store, without its callers.
struct World<M> {
    data: M,
}

impl<M: Machine> World<M> {
    fn lifecycle(&self) -> Lifecycle<M::Services> {
        let rules = LifecycleRules { restore_ms: DAY_MS, quotas: QuotaRules::default() };
        Lifecycle::new(self.data.blobs(), self.data.catalog(), rules, Metrics::new(self.data.dir()))
    }

    fn change(at: usize) -> Change {
        let id = PackageId::from_row(i64::try_from(at).unwrap() + 1);
        Change { target: example_target(), id, conditions: Conditions::default(), actor: actor() }
    }

    /// Does it in the store and in the model, which must agree on the answer.
    async fn step(self, step: &Step, model: &mut Model) -> Self {
        let lifecycle = self.lifecycle();
        let answer = |done: Result<(), ChangeError>| done.map_or_else(|e| e.kind(), |()| "done");
        match *step {
            Step::Upload { version, content, overwrites } => {
                let stored = self.upload(version, content, overwrites, None).await;
                assert_eq!(stored, model.upload(version, content, overwrites));
            }
            Step::Die { version, content, overwrites, at } => {
                self.upload(version, content, overwrites, Some(at)).await;
                model.die(version, content, overwrites, at);
                return self.reopen().await;
            }
            Step::Delete { package, force } => {
                let done = lifecycle.delete(&Self::change(package), force).await;
                assert_eq!(answer(done.map(drop)), model.delete(package, force));
            }
            Step::Restore { package, version: number } => {
                let version = number.map(version);
                let done = lifecycle.restore(&Self::change(package), version.as_ref()).await;
                assert_eq!(answer(done.map(drop)), model.restore(package, number));
            }
            Step::Pin { package, name, protects } => {
                let (name_text, by) = (PinName::new(format!("p{name}")).unwrap(), Operator::new("admin").unwrap());
                let pin = NewPin { name: name_text, until_ms: None, protect_bytes: protects, by };
                let done = lifecycle.pin(&Self::change(package), pin).await;
                assert_eq!(answer(done.map(drop)), model.pin(package, name, protects));
            }
            Step::Unpin { package, name } => {
                let done = lifecycle.unpin(&Self::change(package), &PinName::new(format!("p{name}")).unwrap()).await;
                assert_eq!(answer(done.map(drop)), model.unpin(package, name));
            }
            Step::Purge => self.purge(model).await,
            Step::CleanUp => self.clean_up(model).await,
            Step::Collect => {
                let collected = Gc::offline(self.data.blobs(), self.data.catalog(), false).run().await.unwrap();
                assert_eq!(collected.blobs, model.collect(), "what the dead left, and nothing else");
            }
            Step::Reopen => return self.reopen().await,
        }
        self
    }

    /// As the next process finds it.
    async fn reopen(self) -> Self {
        Self { data: self.data.reopen(QueueLimits::default()).await }
    }

    async fn purge(&self, model: &mut Model) {
        self.data.make_due().await;
        let purged = Purge::new(self.data.blobs(), self.data.catalog()).run().await.unwrap();
        let before = model.events.len();
        model.purge();
        assert_eq!(purged.packages, (model.events.len() - before) as u64);
    }

    async fn clean_up(&self, model: &mut Model) {
        let rule = RetentionRule {
            name: "rule".to_owned(),
            targets: Patterns::any(),
            modules: Patterns::any(),
            mode: RetentionMode::Enforce,
            keep_last: KEPT as u64,
            // Also what was stored in this very millisecond.
            remove_after_ms: -1,
            keep_versions: Patterns::default(),
            remove_versions: Patterns::any(),
            order: RetentionOrder::Created,
        };
        let metrics = Metrics::new(self.data.dir());
        let cleanup = Cleanup::new(self.data.catalog(), vec![rule].into(), DAY_MS, metrics);
        cleanup.run_all().await.unwrap();
        model.clean_up();
    }

    /// As an upload publishes, up to its death; whether it was stored.
    async fn upload(&self, number: u8, content: usize, overwrites: bool, death: Option<Death>) -> bool {
        let (blobs, catalog) = (self.data.blobs(), self.data.catalog());
        let mut writer = blobs.open_writer(None).await.unwrap();
        writer.write(Bytes::from_static(CONTENTS[content])).await.unwrap();
        let finished = writer.finish().await.unwrap();
        if death == Some(Death::Written) {
            return false;
        }
        let lock = catalog.lock_blob(&digest(content)).await;
        let is_new = blobs.commit(finished).await.unwrap();
        if death == Some(Death::Committed) {
            return false;
        }
        let recorded = catalog.record(package(number, content, overwrites), job(), None).await;
        if death == Some(Death::Recorded) {
            return recorded.is_ok();
        }
        match recorded {
            Ok(recorded) => {
                drop(lock);
                if let Some(old) = recorded.replaced.filter(|old| *old != digest(content)) {
                    let _lock = catalog.lock_blob(&old).await;
                    if !catalog.is_referenced(&old).await.unwrap() {
                        blobs.delete(old).await.unwrap();
                    }
                }
                true
            }
            Err(CatalogError::AlreadyExists | CatalogError::InUse(_)) => {
                if is_new {
                    blobs.delete(digest(content)).await.unwrap();
                }
                false
            }
            Err(e) => panic!("{e}"),
        }
    }

    async fn read_blob(&self, content: usize) -> Option<Vec<u8>> {
        let mut reader = match self.data.blobs().open(digest(content), None).await {
            Ok(reader) => reader,
            Err(BlobError::NotFound) => return None,
            Err(e) => panic!("{e}"),
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.read_chunk(64).await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        Some(bytes)
    }

    async fn assert_is(&self, model: &Model) {
        let catalog = self.data.catalog();
        for (at, expected) in model.packages.iter().enumerate() {
            let Change { target, id, .. } = Self::change(at);
            let found = catalog.find_package(&target, id).await.unwrap().unwrap();
            assert_eq!(read(&found), *expected, "package {id}");
        }
        let beyond = Self::change(model.packages.len());
        assert!(catalog.find_package(&beyond.target, beyond.id).await.unwrap().is_none());
        let mut stored = BTreeSet::new();
        for (content, written) in CONTENTS.iter().enumerate() {
            if let Some(bytes) = self.read_blob(content).await {
                assert_eq!(bytes, *written);
                stored.insert(content);
            }
        }
        assert_eq!(stored, model.stored(), "blobs");
        let listed = catalog.list_packages(&example_target(), &everything()).await.unwrap();
        let ids = |page: &PackagePage| page.rows.iter().map(|row| row.id.row()).collect::<Vec<_>>();
        assert_eq!((ids(&listed), listed.count), (model.live_ids(), Count::Exactly(model.live_ids().len() as u64)));
        let used = catalog.usage(&example_target()).await.unwrap();
        assert_eq!((used.module, used.application), (model.usage(), model.usage()));
        assert_eq!(self.data.events().await, model.events);
    }
}

/// All live packages, the latest first.
fn everything() -> PackageQuery {
    let order = vec![PackageOrder { key: PackageKey::Id, is_descending: true }];
    PackageQuery { filter: PackageFilter::default(), order, before: None, limit: 100, offset: 0 }
}

fn read(detail: &PackageDetail) -> Modelled {
    let number = |text: &str| text.get(1..).unwrap().parse().unwrap();
    Modelled {
        version: number(detail.row.version.as_str()),
        content: (0..CONTENTS.len()).find(|content| digest(*content) == detail.row.sha256).unwrap(),
        is_deleted: detail.row.is_deleted,
        is_purged: detail.purged_ms.is_some(),
        pins: detail.pins.iter().map(|pin| (number(pin.name.as_str()), pin.protect_bytes)).collect(),
        revision: detail.revision,
    }
}

fn package(number: u8, content: usize, overwrites: bool) -> NewPackage {
    let final_url = String::new();
    let fetched = Fetched { final_url, etag: None, last_modified: None, has_marked_end: true };
    NewPackage {
        target: example_target(),
        registers_module: true,
        version: version(number),
        package_name: "package".to_owned(),
        size_bytes: CONTENTS[content].len() as u64,
        sha256: digest(content),
        package: Package {
            format: Format::Opaque,
            relative_path: "./".to_owned(),
            meta_info: None,
            version: None,
            entries: 0,
            members: Vec::new(),
            unpacked_bytes: 0,
            proves_whole: true,
            version_fault: None,
        },
        provenance: Provenance { bytes: BytesFrom::Source(fetched), ended_ms: now_ms(), statement: "{}".to_owned() },
        operator: Operator::new("admin").unwrap(),
        allow_overwrite: overwrites,
        conditions: Conditions::default(),
        quota: Quota::default(),
    }
}

fn next_job() -> JobId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("0198c3a4-5f00-7abc-8def-{:012x}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

fn job() -> JobRecord {
    let view = queued_view(next_job(), example_target());
    let request = JobRequest {
        body: "{}".to_owned(),
        allowance: Allowance::default(),
        source_url: "https://example.com/a".to_owned(),
        caller_app: actor().app,
        operator: Operator::new("admin").unwrap(),
        tenant: None,
        request_id: String::new(),
        client_address: String::new(),
        sealed: None,
    };
    JobRecord { view, request, keys: Vec::new(), lives: 0, upload_key: None, is_queued: true }
}

/// As many as are asked for, or few enough for every day.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if asked.cases == 256 { 16 } else { asked.cases };
    ProptestConfig { cases, failure_persistence: None, ..asked }
}

/// How many were taken in all.
static STEPS: AtomicUsize = AtomicUsize::new(0);

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_done_to_packages_leaves_what_the_model_says(steps in steps()) {
        follow::<DataDirectory>(&steps);
    }

    #[test]
    fn whatever_is_done_to_packages_in_postgresql_leaves_what_the_model_says(steps in steps()) {
        follow::<PostgresMachine>(&steps);
    }
}

/// Takes the steps, and holds what comes of each against the model.
fn follow<M: Machine>(steps: &[Step]) {
    if let Some(missing) = M::missing() {
        return println!("{missing}: nothing was tried");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut world, mut model) = (World { data: M::create(QueueLimits::default()).await }, Model::default());
        for step in steps {
            world = world.step(step, &mut model).await;
            world.assert_is(&model).await;
        }
        println!("{} steps so far", STEPS.fetch_add(steps.len(), Ordering::Relaxed) + steps.len());
    });
}
