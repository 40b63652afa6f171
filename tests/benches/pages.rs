//! What a page of a module's packages costs, over HTTP, where the module has 1,000 packages and where it has a million: two
//! stores on this machine, asked in turns.
//!
//! `cargo xtask bench pages`; `--packages` for the larger one, `--rounds`, `--postgresql`. Promises: every page is checked for its rows, and a
//! wrong one ends the run with an error. Asserts nothing about time: a target that was missed is said.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::time::Instant;

use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{median, number};
use linkgate_tests::token::good_claims;
use linkgate_tests::{FakeSource, Reached, Replicas, StoreProcess};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

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
    form: Form,
}

/// Who reads it.
#[derive(Clone, Copy)]
enum Form {
    Program,
    /// Somebody who looks at the console.
    Person,
}

const KINDS: [Kind; 11] = [
    Kind { name: "first page", query: |_| String::new(), rows: PAGE, most: Some(1.5), form: Form::Program },
    Kind {
        name: "walk by before_id, in the middle",
        query: |packages| format!("before_id={}", packages / 2),
        rows: PAGE,
        most: Some(1.5),
        form: Form::Program,
    },
    Kind {
        name: "by size, the largest first",
        query: |_| "order_by=-package_size".into(),
        rows: PAGE,
        most: Some(1.5),
        form: Form::Program,
    },
    Kind {
        name: "by natural version",
        query: |_| "order_by=-version_natural".into(),
        rows: PAGE,
        most: Some(1.5),
        form: Form::Program,
    },
    Kind {
        name: "search: one has it",
        query: |_| format!("search_term={:06x}", name(500)),
        rows: 1,
        most: Some(10.0),
        form: Form::Program,
    },
    Kind {
        name: "search: two terms, one has both",
        query: |_| format!("search_term=example+{:06x}", name(500)),
        rows: 1,
        most: Some(10.0),
        form: Form::Program,
    },
    Kind {
        name: "search: all have it",
        query: |_| "search_term=example".into(),
        rows: PAGE,
        most: Some(10.0),
        form: Form::Program,
    },
    Kind {
        name: "offset in the middle",
        query: |packages| format!("offset={}", packages / 2),
        rows: PAGE,
        most: None,
        form: Form::Program,
    },
    Kind {
        name: "search: two letters, all have them",
        query: |_| "search_term=1.".into(),
        rows: PAGE,
        most: None,
        form: Form::Program,
    },
    Kind {
        name: "first page of the console",
        query: |_| String::new(),
        rows: PAGE,
        most: Some(1.5),
        form: Form::Person,
    },
    Kind {
        name: "console, by natural version",
        query: |_| "order_by=-version_natural".into(),
        rows: PAGE,
        most: Some(1.5),
        form: Form::Person,
    },
];

/// What stands in the name of a row.
fn name(number: u64) -> u64 {
    number * SPREAD % (1 << 24)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (most, rounds) = (number("--packages", 1_000_000).max(1_000), number("--rounds", 7).max(1));
    let in_postgresql = std::env::args().any(|argument| argument == "--postgresql");
    let stores = if in_postgresql {
        [Filled::in_postgresql(1_000).await, Filled::in_postgresql(most).await]
    } else {
        [Filled::in_sqlite(1_000).await, Filled::in_sqlite(most).await]
    };
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
    let chart = Chart::new("pages", format!("What a page costs of a module with 1000 packages, and with {most}"), "ms");
    let mut missed = Vec::new();
    for (at, kind) in KINDS.iter().enumerate() {
        let [few, many] = [0, 1].map(|of: usize| median(costs[of][at].iter().copied()));
        let target = kind.most.map_or_else(|| "–".to_owned(), |most| format!("{most:.1}"));
        println!("{:<36}{few:>12.2}{many:>12.2}{:>8.2}{target:>8}", kind.name, many / few);
        for (packages, costs) in [1_000, most].into_iter().zip(&costs) {
            chart.ours(&format!("{}, {packages}", kind.name), costs[at].iter().copied());
        }
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
    _servers: Option<Replicas>,
}

impl Filled {
    async fn in_sqlite(packages: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Makes the database.
        StoreProcess::start(dir.path(), &[]).stop();
        let begun = Instant::now();
        fill_sqlite(dir.path(), packages).await;
        Self::open(packages, begun, dir, &[], None)
    }

    async fn in_postgresql(packages: u64) -> Self {
        let servers = Replicas::start().await.expect("PostgreSQL and SeaweedFS");
        let source = FakeSource::serving("").await;
        let settings = servers.settings(&source.host(), &Reached::default());
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        StoreProcess::start(&servers.next_data_dir(), &settings).stop();
        let begun = Instant::now();
        fill_postgresql(servers.connect().await.unwrap(), packages).await;
        Self::open(packages, begun, tempfile::tempdir().unwrap(), &settings, Some(servers))
    }

    fn open(
        packages: u64,
        begun: Instant,
        dir: tempfile::TempDir,
        settings: &[(&str, &str)],
        servers: Option<Replicas>,
    ) -> Self {
        let filled = begun.elapsed();
        let store = StoreProcess::start(dir.path(), settings);
        println!(
            "{packages} packages, filled in {:.0} s, opened in {:.0} s",
            filled.as_secs_f64(),
            (begun.elapsed() - filled).as_secs_f64()
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { packages, store, client, _dir: dir, _servers: servers }
    }

    /// The median of some requests, in ms.
    async fn ask(&self, kind: &Kind) -> f64 {
        let url = format!("{}{PATH}?limit={PAGE}&{}", self.store.base(), (kind.query)(self.packages));
        let (mut token, mut accept) = (self.store.mint().token(), "application/json");
        if matches!(kind.form, Form::Person) {
            let mut claims = good_claims();
            claims["linkgate"] = json!({"action": "read", "console": {"actions": ["read", "upload", "download"]}});
            (token, accept) = (self.store.mint().sign(&claims), "text/html");
        }
        let mut costs = Vec::new();
        for _ in 0..kind.most.map_or(FEW_READS, |_| READS) {
            let begun = Instant::now();
            let request = self.client.get(&url).header("x-bkapi-jwt", &token).header("accept", accept);
            let body = request.send().await.unwrap().text().await.unwrap();
            costs.push(begun.elapsed());
            let rows = match kind.form {
                Form::Program => serde_json::from_str::<Value>(&body).unwrap()["results"].as_array().map(Vec::len),
                Form::Person => Some(body.matches("<tr").count().saturating_sub(1)),
            };
            assert_eq!(rows, Some(kind.rows), "{}: {body}", kind.name);
        }
        median(costs).as_secs_f64() * 1e3
    }
}

async fn fill_sqlite(dir: &std::path::Path, packages: u64) {
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

/// As the store does it, but for sums of modules, which are counted once.
async fn fill_postgresql(mut connection: PgConnection, packages: u64) {
    for statement in ["alter table source_package disable trigger user", "set synchronous_commit = off"] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    // Versions are keyed by the store; those of this form are in natural order as numbers of one length.
    sqlx::query(
        "insert into source_package (app_code, module, version, version_key, package_name, size_bytes, search_text, sha256,
             operator, created_ms, updated_ms, format, entries, unpacked_bytes)
         select 'app_code', 'default', version, convert_to(lpad(i::text, 12, '0'), 'UTF8'), name, size,
             version || chr(31) || name || chr(31) || size, encode(sha256(i::text::bytea), 'hex'),
             'admin', 1700000000000 + i, 1700000000000 + i, 'tar.gz', 12, 1048576
         from (select i, '1.0.' || i as version, i * $2 % 1000003 as size,
                   'example-' || lpad(to_hex(i * $2 % 16777216), 6, '0') || ':1.0.' || i as name
               from generate_series(1, $1) as numbers(i)) as rows",
    )
    .bind(i64::try_from(packages).unwrap())
    .bind(i64::try_from(SPREAD).unwrap())
    .execute(&mut connection)
    .await
    .unwrap();
    for statement in [
        "insert into module_usage select app_code, module, count(*), sum(size_bytes)::bigint, 0, 0
         from source_package group by 1, 2",
        "alter table source_package enable trigger user",
        "analyze source_package",
    ] {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}
