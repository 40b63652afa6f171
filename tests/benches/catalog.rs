//! What the catalog costs as it grows: the store's own queries, and the page that a platform shows, over 1,000, 100,000 and a
//! million packages, in turns.
//!
//! `cargo xtask bench catalog`; `--packages` for the largest, `--rounds`. The first package is recorded by the store's own code,
//! the others are copies of its rows under other names and hashes; a tenth of them belong to the module that is asked for,
//! the others to modules of 1,000 each. Promises: every answer is checked for its size, and a page of a module is shown to
//! need no sorting, or the run ends with an error. Asserts nothing about time: a target that was missed is said.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::cell::Cell;
use std::fs::File;
use std::time::{Duration, Instant};

use linkgate_catalog::SqliteCatalog;
use linkgate_contract::{AppCode, CallerApp, JobId, ModuleName, ModuleRef, Operator, PackageVersion, Sha256};
use linkgate_store_core::ingest::ports::{
    Catalog, CatalogReader, JobRecord, JobRequest, JobState, JobView, NewPackage,
};
use linkgate_store_core::ingest::{Allowance, now_ms};
use linkgate_store_core::settings::QueueLimits;
use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{median, number};
use linkgate_tests::records::{self, random_digest};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

/// How much dearer a page may be with the most packages than with the fewest.
const TARGET: f64 = 1.5;
/// How often a query that reads is asked in a round.
const READS: u32 = 200;
/// And one that writes, which waits for the disk.
const WRITES: u32 = 20;
const ROWS_ON_PAGE: usize = 20;

/// What a platform shows of a module: the newest packages, and those before one that was shown. The store does not ask this.
const PAGE: &str = "select id, version, package_name, size_bytes, sha256, operator, created_ms, updated_ms
    from source_package where app_code = ? and module = ? and is_deleted = 0 and id < ? order by id desc limit 20";

const NAMES: [&str; 7] = [
    "record a package, durably",
    "is a version there",
    "what is stored under a digest",
    "does a row reference a digest",
    "500 digests in order",
    "newest page of a module",
    "a page from its middle",
];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (most, rounds) = (number("--packages", 1_000_000).max(1_000), number("--rounds", 7).max(1));
    let mut all = Vec::new();
    for packages in [1_000, (most / 10).max(1_000), most] {
        all.push(FilledCatalog::filled(packages).await);
    }
    let mut costs = vec![[const { Vec::new() }; NAMES.len()]; all.len()];
    // One round first that does not count: caches.
    for round in 0..=rounds {
        for (stores, costs) in all.iter_mut().zip(&mut costs) {
            for (cost, costs) in stores.costs().await.into_iter().zip(costs) {
                if round > 0 {
                    costs.push(cost);
                }
            }
        }
    }
    println!("{rounds} rounds in turns, medians in µs; × is the cost over that with {} packages", all[0].packages);
    print!("{:<28}", "packages");
    println!("{}", all.iter().map(|stores| format!("{:>12}{:>8}", stores.packages, "×")).collect::<String>());
    let chart = Chart::new("queries", "What queries of the catalog cost with so many packages", "µs");
    let mut missed: Vec<&str> = Vec::new();
    for (at, name) in NAMES.iter().enumerate() {
        let medians: Vec<f64> = costs.iter().map(|costs| median(costs[at].iter().copied())).collect();
        let ratios: Vec<f64> = medians.iter().map(|cost| cost / medians[0]).collect();
        let cells = medians.iter().zip(&ratios).map(|(cost, ratio)| format!("{cost:>12.1}{ratio:>8.2}"));
        println!("{name:<28}{}", cells.collect::<String>());
        for (stores, costs) in all.iter().zip(&costs) {
            chart.ours(&format!("{name}, {}", stores.packages), costs[at].iter().copied());
        }
        let is_page = at >= NAMES.len() - 2;
        if is_page && ratios.iter().any(|ratio| *ratio > TARGET) {
            missed.push(name);
        }
    }
    for name in missed {
        println!("TARGET MISSED: {name} costs more than {TARGET} times what it costs with the fewest packages");
    }
}

/// A catalog of one size.
struct FilledCatalog {
    packages: u64,
    catalog: SqliteCatalog,
    /// The platform's.
    reader: SqliteConnection,
    target: ModuleRef,
    recorded: Cell<u32>,
    /// Some hashes of the module's packages, and their versions.
    known: Vec<(Sha256, PackageVersion)>,
    _dir: tempfile::TempDir,
}

impl FilledCatalog {
    async fn filled(packages: u64) -> Self {
        let begun = Instant::now();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.sqlite3");
        File::create(&path).unwrap();
        let catalog = SqliteCatalog::open(&path, QueueLimits::default()).await.unwrap();
        let target = ModuleRef { app: AppCode::new("app_code").unwrap(), module: ModuleName::new("default").unwrap() };
        let (first, job) = new_package(&target, 0);
        catalog.record(first, job, None).await.unwrap();
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(false);
        let mut writer = options.clone().synchronous(SqliteSynchronous::Off).connect().await.unwrap();
        multiply(&mut writer, packages).await;
        let known = sample(&mut writer).await;
        writer.close().await.unwrap();
        let mut reader = options.pragma("query_only", "on").connect().await.unwrap();
        assert_no_sorting(&mut reader).await;
        println!("{packages} packages, filled in {:.0} s", begun.elapsed().as_secs_f64());
        Self { packages, catalog, reader, target, recorded: Cell::new(0), known, _dir: dir }
    }

    /// Of each of [`NAMES`], in µs.
    async fn costs(&mut self) -> [f64; NAMES.len()] {
        [
            self.record().await,
            self.ask(async |of, (_, version)| assert!(of.catalog.has_live(&of.target, version).await.unwrap())).await,
            self.ask(async |of, (sha256, _)| {
                assert!(of.catalog.find_stored(&of.target, sha256).await.unwrap().is_some());
            })
            .await,
            self.ask(async |of, (sha256, _)| assert!(of.catalog.is_referenced(sha256).await.unwrap())).await,
            self.ask(async |of, (sha256, _)| {
                // From the lower half of all hashes, so that a whole page is left.
                let from = format!("{}{}", sha256.to_string().as_bytes()[0] % 4, &sha256.to_string()[1..]);
                assert_eq!(of.catalog.references_after(&from).await.unwrap().len(), 500);
            })
            .await,
            self.page(i64::MAX).await,
            self.page(i64::try_from(self.packages / 2).unwrap()).await,
        ]
    }

    async fn record(&self) -> f64 {
        let mut costs = Vec::new();
        for _ in 0..WRITES {
            self.recorded.set(self.recorded.get() + 1);
            let (package, job) = new_package(&self.target, self.recorded.get());
            let begun = Instant::now();
            self.catalog.record(package, job, None).await.unwrap();
            costs.push(micros(begun.elapsed()));
        }
        median(costs)
    }

    async fn ask(&self, query: impl AsyncFn(&Self, &(Sha256, PackageVersion))) -> f64 {
        let mut costs = Vec::new();
        for known in self.known.iter().cycle().take(READS as usize) {
            let begun = Instant::now();
            query(self, known).await;
            costs.push(micros(begun.elapsed()));
        }
        median(costs)
    }

    async fn page(&mut self, before: i64) -> f64 {
        let mut costs = Vec::new();
        for _ in 0..READS {
            let begun = Instant::now();
            let page = sqlx::query(PAGE).bind("app_code").bind("default").bind(before);
            assert_eq!(page.fetch_all(&mut self.reader).await.unwrap().len(), ROWS_ON_PAGE);
            costs.push(micros(begun.elapsed()));
        }
        median(costs)
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A package of this module that nobody has recorded yet.
fn new_package(target: &ModuleRef, number: u32) -> (NewPackage, JobRecord) {
    let (version, url) = (format!("2.0.{number}"), "https://example.com/generic/example.tar.gz".to_owned());
    let digest = random_digest();
    let new = records::new_package(target.clone(), &version, digest, url.clone());
    let view = JobView {
        id: JobId::from_uuid(uuid::Uuid::from_slice(&digest[..16]).unwrap()),
        target: target.clone(),
        state: JobState::Storing,
        received_bytes: 1 << 18,
        total_bytes: Some(1 << 18),
        attempts: 1,
        created_ms: now_ms(),
        started_ms: Some(now_ms()),
        ended_ms: None,
        end: None,
    };
    let request = JobRequest {
        body: "{}".into(),
        allowance: Allowance::default(),
        source_url: url,
        caller_app: Some(CallerApp::new("app").unwrap()),
        operator: Operator::new("admin").unwrap(),
        tenant: None,
        request_id: linkgate_tests::random(),
        client_address: String::new(),
        sealed: None,
    };
    (new, JobRecord { view, request, keys: Vec::new(), lives: 0, upload_key: None, is_queued: true })
}

/// Copies the first package until there are so many.
async fn multiply(writer: &mut SqliteConnection, packages: u64) {
    sqlx::query("pragma cache_size = -400000").execute(&mut *writer).await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    for statement in [
        "with recursive number(i) as (select 2 union all select i + 1 from number where i < ?)
         insert into source_package (app_code, module, version, package_name, size_bytes, sha256, operator, created_ms,
             updated_ms, format, relative_path, entries, unpacked_bytes)
         select iif(i % 10 = 0, app_code, 'app-' || (i / 1000)), module, '1.0.' || i, 'example:1.0.' || i, size_bytes,
             lower(hex(randomblob(32))), operator, created_ms + i, created_ms + i, format, relative_path, entries,
             unpacked_bytes
         from number join source_package on id = 1",
        "with recursive number(i) as (select 2 union all select i + 1 from number where i < ?)
         insert into provenance (package_id, source_url, final_url, etag, last_modified, attempts, caller_app, operator,
             request_id, job_id, started_ms, ended_ms, store_version, statement)
         select i, source_url, final_url, etag, last_modified, attempts, caller_app, operator, request_id, job_id,
             started_ms, ended_ms, store_version, statement
         from number join provenance on package_id = 1",
    ] {
        sqlx::query(statement).bind(i64::try_from(packages).unwrap()).execute(&mut *tx).await.unwrap();
    }
    let modules = "insert into module select distinct app_code, module, 2, 0 from source_package where true
        on conflict do nothing";
    sqlx::query(modules).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from provenance").fetch_one(writer).await.unwrap();
    assert_eq!(u64::try_from(count).unwrap(), packages);
}

/// Some packages of the module, from anywhere.
async fn sample(reader: &mut SqliteConnection) -> Vec<(Sha256, PackageVersion)> {
    let text = "select sha256, version from source_package where app_code = 'app_code' order by random() limit 100";
    let rows = sqlx::query(text).fetch_all(reader).await.unwrap();
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let (sha256, version): (&str, &str) = (row.get(0), row.get(1));
        (sha256.parse().unwrap(), PackageVersion::new(version).unwrap())
    };
    rows.iter().map(read).collect()
}

/// Whatever the time says: sorting costs more with every package that a module has.
async fn assert_no_sorting(reader: &mut SqliteConnection) {
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("explain query plan {PAGE}")));
    let plan = plan.bind("app_code").bind("default").bind(i64::MAX).fetch_all(reader).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    println!("a page of a module: {}", plan.join("; "));
    assert!(plan.iter().all(|step| !step.contains("TEMP B-TREE")), "{plan:?}");
}
