//! What a page of a module's packages costs, over HTTP, where the module has 1,000 packages and where it has a million: two
//! stores on this machine, asked in turns.
//!
//! `cargo xtask bench pages`; `--packages` for the larger one, `--rounds`. Promises: every page is checked for its rows, and a
//! wrong one ends the run with an error. Asserts nothing about time: a target that was missed is said.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::time::Instant;

use linkgate_tests::StoreProcess;
use linkgate_tests::measure::{median, number};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

/// How often each page is asked for in a round.
const READS: u32 = 20;
/// And one of which no target is known.
const FEW_READS: u32 = 3;
const PAGE: usize = 100;
const PATH: &str = "/bkapps/applications/app_code/modules/default/source_package/";
/// Numbers of rows are spread by this, so that neither sizes nor names are in the order of ids.
const SPREAD: u64 = 7_919;

/// A page, and how much dearer it may be where there are more packages; without a number it is only shown.
struct Kind {
    name: &'static str,
    query: fn(packages: u64) -> String,
    rows: usize,
    most: Option<f64>,
}

const KINDS: [Kind; 9] = [
    Kind { name: "first page", query: |_| String::new(), rows: PAGE, most: Some(1.5) },
    Kind {
        name: "walk by before_id, in the middle",
        query: |packages| format!("before_id={}", packages / 2),
        rows: PAGE,
        most: Some(1.5),
    },
    Kind {
        name: "by size, the largest first",
        query: |_| "order_by=-package_size".into(),
        rows: PAGE,
        most: Some(1.5),
    },
    Kind { name: "by natural version", query: |_| "order_by=-version_natural".into(), rows: PAGE, most: Some(1.5) },
    Kind { name: "search: one has it", query: |_| format!("search_term={:06x}", name(500)), rows: 1, most: Some(10.0) },
    Kind {
        name: "search: two terms, one has both",
        query: |_| format!("search_term=example+{:06x}", name(500)),
        rows: 1,
        most: Some(10.0),
    },
    Kind { name: "search: all have it", query: |_| "search_term=example".into(), rows: PAGE, most: Some(10.0) },
    Kind { name: "offset in the middle", query: |packages| format!("offset={}", packages / 2), rows: PAGE, most: None },
    Kind { name: "search: two letters, all have them", query: |_| "search_term=1.".into(), rows: PAGE, most: None },
];

/// What stands in the name of a row.
fn name(number: u64) -> u64 {
    number * SPREAD % (1 << 24)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (most, rounds) = (number("--packages", 1_000_000).max(1_000), number("--rounds", 7).max(1));
    let stores = [Filled::new(1_000).await, Filled::new(most).await];
    let mut costs = [const { [const { Vec::new() }; KINDS.len()] }; 2];
    // One round first that does not count: caches.
    for round in 0..=rounds {
        for (store, costs) in stores.iter().zip(&mut costs) {
            for (kind, costs) in KINDS.iter().zip(costs) {
                let cost = store.ask(kind).await;
                if round > 0 {
                    costs.push(cost);
                }
            }
        }
    }
    println!("pages of {PAGE}, {rounds} rounds in turns, medians in ms");
    println!("{:<36}{:>12}{:>12}{:>8}{:>8}", "packages", 1_000, most, "×", "at most");
    let mut missed = Vec::new();
    for (at, kind) in KINDS.iter().enumerate() {
        let [few, many] = [0, 1].map(|of: usize| median(costs[of][at].iter().copied()));
        let target = kind.most.map_or_else(|| "–".to_owned(), |most| format!("{most:.1}"));
        println!("{:<36}{few:>12.2}{many:>12.2}{:>8.2}{target:>8}", kind.name, many / few);
        if kind.most.is_some_and(|most| many / few > most) {
            missed.push(kind.name);
        }
    }
    for name in missed {
        println!("TARGET MISSED: {name}");
    }
}

/// A store of so many packages.
struct Filled {
    packages: u64,
    store: StoreProcess,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Filled {
    async fn new(packages: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Makes the database.
        StoreProcess::start(dir.path(), &[]).stop();
        let begun = Instant::now();
        fill(dir.path(), packages).await;
        let filled = begun.elapsed();
        let store = StoreProcess::start(dir.path(), &[]);
        println!(
            "{packages} packages, filled in {:.0} s, opened in {:.0} s",
            filled.as_secs_f64(),
            (begun.elapsed() - filled).as_secs_f64()
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { packages, store, client, _dir: dir }
    }

    /// The median of some requests, in ms.
    async fn ask(&self, kind: &Kind) -> f64 {
        let url = format!("{}{PATH}?limit={PAGE}&{}", self.store.base(), (kind.query)(self.packages));
        let (token, mut costs) = (self.store.mint().token(), Vec::new());
        for _ in 0..kind.most.map_or(FEW_READS, |_| READS) {
            let begun = Instant::now();
            let reply = self.client.get(&url).header("x-bkapi-jwt", &token).send().await.unwrap();
            let body = reply.text().await.unwrap();
            costs.push(begun.elapsed());
            let page: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(page["results"].as_array().map(Vec::len), Some(kind.rows), "{}: {body}", kind.name);
        }
        median(costs).as_secs_f64() * 1e3
    }
}

async fn fill(dir: &std::path::Path, packages: u64) {
    let options = SqliteConnectOptions::new().filename(dir.join("catalog.sqlite3")).create_if_missing(false);
    let mut writer: SqliteConnection = options.synchronous(SqliteSynchronous::Off).connect().await.unwrap();
    sqlx::query("pragma cache_size = -200000").execute(&mut writer).await.unwrap();
    let mut tx = writer.begin().await.unwrap();
    sqlx::query(
        "with recursive number(i) as (select 1 union all select i + 1 from number where i < ?1)
         insert into source_package (app_code, module, version, package_name, size_bytes, sha256, operator, created_ms,
             updated_ms, format, relative_path, entries, unpacked_bytes)
         select 'app_code', 'default', '1.0.' || i, printf('example-%06x:1.0.%d', i * ?2 % 16777216, i), i * ?2 % 1000003,
             lower(hex(randomblob(32))), 'admin', 1700000000000 + i, 1700000000000 + i, 'tar.gz', './', 12, 1048576
         from number",
    )
    .bind(i64::try_from(packages).unwrap())
    .bind(i64::try_from(SPREAD).unwrap())
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    writer.close().await.unwrap();
}
