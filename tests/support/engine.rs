//! What the stores of tests store in: a data directory, or a PostgreSQL and a bucket, as stores that share have them.
//!
//! One switch, the variable `LINKGATE_TEST_ENGINE`, which `cargo xtask test --engine shared` sets. Tests say nothing of it: the same
//! data directory stands for the same servers, as long as the thread of its test lasts, and whoever looks into it
//! ([`crate::DataDirectory`]) is shown what is in these. Promises: with the switch nothing goes to a data directory unnoticed; where the
//! servers are not to be had, the test fails.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use linkgate_catalog::testing::PostgresServer;
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::SigningKeys;
use crate::data_directory::{EventRow, Row};
use crate::weed::{BUCKET, KEY_ID, SECRET, Weed};

const SWITCH: &str = "LINKGATE_TEST_ENGINE";
const SHARED: &str = "shared";

thread_local! {
    /// Gone with the thread of the test, and with it the servers.
    static SERVERS: RefCell<HashMap<PathBuf, Arc<SharedServers>>> = RefCell::default();
}

/// A database and a bucket of a test's own.
pub struct SharedServers {
    postgres: PostgresServer,
    weed: Weed,
    keys: SigningKeys,
}

/// Whether stores share what they store. What a test finds out of a data directory itself cannot be tried then: it says so.
#[must_use]
pub fn is_shared() -> bool {
    std::env::var_os(SWITCH).is_some_and(|engine| engine == SHARED)
}

/// Whether a test has to end because it is about data directories; says why.
#[must_use]
pub fn is_about_directories(why: &str) -> bool {
    if is_shared() {
        println!("not tried with a database and a bucket: {why}");
    }
    is_shared()
}

/// The settings of a store on this data directory beside those of the test, if it does not name a database itself.
pub(crate) fn settings(data_dir: &Path, given: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    if !is_shared() || given.iter().any(|(name, _)| *name == "LINKGATE_DATABASE_URL") {
        return Vec::new();
    }
    let servers = SERVERS.with_borrow_mut(|all| {
        Arc::clone(all.entry(data_dir.to_owned()).or_insert_with(|| Arc::new(SharedServers::start())))
    });
    servers.settings()
}

/// The servers that stand for this data directory.
pub(crate) fn servers_of(data_dir: &Path) -> Option<Arc<SharedServers>> {
    SERVERS.with_borrow(|all| all.get(data_dir).cloned())
}

impl SharedServers {
    fn start() -> Self {
        assert_eq!(PostgresServer::missing(), None);
        // A runtime of its own, for whoever starts a store may be in one that must not be blocked on.
        let starting = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(Weed::start())
        });
        let weed = starting.join().unwrap().expect("SeaweedFS can be had where this engine is asked for");
        Self { postgres: PostgresServer::start(), weed, keys: SigningKeys::generate() }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("LINKGATE_DATABASE_URL", self.postgres.address()),
            ("LINKGATE_S3_BUCKET", BUCKET.to_owned()),
            ("LINKGATE_S3_ENDPOINT", self.weed.endpoint()),
            ("LINKGATE_S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("LINKGATE_S3_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ];
        settings.extend(self.keys.settings());
        settings
    }

    async fn ask(&self, query: &'static str) -> Vec<PgRow> {
        let mut connection = PgConnection::connect(&self.postgres.address()).await.unwrap();
        let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        self.ask(statement).await;
    }

    pub(crate) async fn rows(&self) -> Vec<Row> {
        self.ask("select * from source_package order by id").await.iter().map(Row::read).collect()
    }

    pub(crate) async fn events(&self) -> Vec<EventRow> {
        self.ask("select * from event order by id").await.iter().map(EventRow::read).collect()
    }

    pub(crate) async fn jobs(&self) -> Vec<(String, String)> {
        let query = "select case when ended_ms is null then 'unfinished' else state end, source_url from job
            order by created_ms, id";
        self.ask(query).await.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(crate) async fn provenance(&self) -> Vec<(String, Option<String>, String)> {
        let query = "select source_url, final_url, request_id from provenance order by package_id";
        self.ask(query).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
    }

    pub(crate) async fn tenants(&self) -> (Vec<Option<String>>, Vec<Option<String>>) {
        let jobs = self.ask("select tenant_id from job order by created_ms, id").await;
        let packages = self.ask("select tenant_id from provenance order by package_id").await;
        let read = |rows: Vec<PgRow>| rows.iter().map(|row| row.get(0)).collect();
        (read(jobs), read(packages))
    }

    pub(crate) async fn modules(&self) -> Vec<String> {
        let query = "select app_code || '/' || module || '/' || source_origin from module order by 1";
        self.ask(query).await.iter().map(|row| row.get(0)).collect()
    }

    /// Deletes as a platform does it; how many rows that changed.
    pub(crate) async fn delete(&self, [app_code, module, version]: [&str; 3]) -> Result<u64, sqlx::Error> {
        let query = sqlx::query(
            "update source_package set is_deleted = true, revision = revision + 1
             where app_code = $1 and module = $2 and version = $3 and not is_deleted",
        );
        let mut connection = PgConnection::connect(&self.postgres.address()).await?;
        let done = query.bind(app_code).bind(module).bind(version).execute(&mut connection).await?;
        Ok(done.rows_affected())
    }

    /// The packages that rows need, as far as their bytes are in the bucket, sorted. Others may be there: they stay for a while once
    /// nobody needs them. From whatever thread, as files can be read.
    pub(crate) fn stored_files(self: &Arc<Self>) -> Vec<String> {
        let servers = Arc::clone(self);
        let looking = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(servers.look())
        });
        looking.join().unwrap()
    }

    async fn look(&self) -> Vec<String> {
        let query = "select distinct sha256, key from blob
            where exists (select from source_package where source_package.sha256 = blob.sha256 and purged_ms is null) order by 1";
        let (known, mut stored) = (self.ask(query).await, Vec::new());
        for row in known {
            let (sha256, key): (String, String) = (row.get(0), row.get(1));
            assert_eq!(
                crate::sha256_hex(&self.weed.stored(&key).await),
                sha256,
                "a package must hold what its name says"
            );
            stored.push(sha256);
        }
        stored
    }
}
