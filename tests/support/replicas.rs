//! Stores that share a database and a bucket, each a process of its own over real servers, and what is in those.
//!
//! Promises: what is looked at is read behind the stores' backs. Time passes in the database where a test says so: leases of
//! holders of keys, and graces, are over at once.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use linkgate_catalog::testing::PostgresServer;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::process::{self, Finished, WITH_FAILPOINTS};
use crate::weed::{BUCKET, KEY_ID, SECRET, Weed};
use crate::{FakeSource, LinkRequestBuilder, Row, SigningKeys, StoreProcess, TokenMint, wait_until};

/// What the keys of all objects begin with.
const PREFIX: &str = "packages/";
/// How long a claim is good without a sign of life, in seconds; there is none that is shorter.
pub const LEASE_S: u64 = 3;
/// Stores that do nothing by themselves.
const QUIET: [(&str, &str); 3] = [
    ("LINKGATE_STORE_GC_INTERVAL_S", "0"),
    ("LINKGATE_STORE_PURGE_INTERVAL_S", "0"),
    ("LINKGATE_STORE_SCRUB_BYTES_PER_S", "0"),
];
/// One that collects what is left over.
const COLLECTING: [(&str, &str); 2] = [("LINKGATE_STORE_GC_INTERVAL_S", "1"), ("LINKGATE_STORE_GC_GRACE_S", "1")];

/// A database and a bucket of a test's own.
pub struct Replicas {
    /// The database server.
    pub postgres: PostgresServer,
    /// The storage.
    pub weed: Weed,
    keys: SigningKeys,
    mint: TokenMint,
    dir: TempDir,
    started: Cell<u32>,
}

/// How a store reaches what it shares, and further settings.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    /// The database, if not directly.
    pub database: Option<String>,
    /// The storage, if not directly.
    pub endpoint: Option<String>,
    /// Settings, which replace the usual ones.
    pub settings: Vec<(&'static str, String)>,
}

impl Reached {
    /// Directly, with one more setting.
    #[must_use]
    pub fn with(name: &'static str, value: impl Into<String>) -> Self {
        Self { settings: vec![(name, value.into())], ..Self::default() }
    }

    /// Directly, and it ends or stands still there.
    #[must_use]
    pub fn armed(failpoint: impl Into<String>) -> Self {
        Self::with("LINKGATE_STORE_FAILPOINT", failpoint)
    }
}

/// What stores share at one moment.
#[derive(Debug)]
pub struct Shared {
    /// Rows of packages.
    pub rows: Vec<Row>,
    /// Registered modules, as `app/module/origin`.
    pub modules: Vec<String>,
    /// The object of each blob.
    pub blobs: BTreeMap<String, String>,
    /// Keys that are no blob's, with their states.
    pub other_keys: Vec<(String, String)>,
    /// Jobs by their states.
    pub jobs: BTreeMap<String, i64>,
    /// Keys in the bucket.
    pub objects: Vec<String>,
    /// Uploads to the bucket that are open.
    pub open_uploads: Vec<String>,
}

impl Replicas {
    /// `None`, and says so, where one of the servers is not to be had.
    pub async fn start() -> Option<Self> {
        if let Some(missing) = PostgresServer::missing() {
            println!("not tried: {missing}");
            return None;
        }
        let weed = Weed::start().await?;
        let (postgres, mint, dir) = (PostgresServer::start(), TokenMint::new(), tempfile::tempdir().unwrap());
        let keys = SigningKeys::generate();
        Some(Self { postgres, weed, keys, mint, dir, started: Cell::new(0) })
    }

    /// The settings of a store on these servers, that gets packages from these hosts.
    #[must_use]
    pub fn settings(&self, hosts: &str, reached: &Reached) -> Vec<(&'static str, String)> {
        let Reached { database, endpoint, settings } = reached;
        let mut all = BTreeMap::from([
            ("LINKGATE_DATABASE_URL", database.clone().unwrap_or_else(|| self.postgres.address())),
            ("LINKGATE_S3_BUCKET", BUCKET.to_owned()),
            ("LINKGATE_S3_PREFIX", PREFIX.to_owned()),
            ("LINKGATE_S3_ENDPOINT", endpoint.clone().unwrap_or_else(|| self.weed.endpoint())),
            ("LINKGATE_S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("LINKGATE_S3_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("LINKGATE_STORE_JOB_LEASE_S", LEASE_S.to_string()),
            ("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.to_owned()),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", hosts.to_owned()),
            ("LINKGATE_FETCH_RETRY_DELAY_MS", "1".to_owned()),
            // A source is held back for as long as a test takes.
            ("LINKGATE_FETCH_IDLE_TIMEOUT_S", "600".to_owned()),
        ]);
        all.extend(self.keys.settings());
        all.extend(QUIET.map(|(name, value)| (name, value.to_owned())));
        all.extend(settings.iter().cloned());
        all.into_iter().collect()
    }

    /// Where the next store has its data directory.
    pub fn next_data_dir(&self) -> std::path::PathBuf {
        let number = self.started.replace(self.started.get() + 1);
        self.dir.path().join(number.to_string())
    }

    /// The key that all of them believe.
    #[must_use]
    pub fn mint(&self) -> TokenMint {
        self.mint.again()
    }

    /// Starts one more store. It can be made to end or stand still at a step, and its leases are short.
    pub fn store(&self, source: &FakeSource, reached: &Reached) -> StoreProcess {
        self.starting(WITH_FAILPOINTS, source, reached)()
    }

    /// The same of another build of the store, or of the program at a path. What else this task does goes on.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn store_of(&self, program: &str, source: &FakeSource, reached: &Reached) -> StoreProcess {
        tokio::task::spawn_blocking(self.starting(program, source, reached)).await.unwrap()
    }

    fn starting(
        &self,
        program: &str,
        source: &FakeSource,
        reached: &Reached,
    ) -> impl FnOnce() -> StoreProcess + Send + use<> {
        let (settings, data_dir, mint) = (self.settings(&source.host(), reached), self.next_data_dir(), self.mint());
        let program = program.to_owned();
        move || {
            let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            StoreProcess::start_program(&program, &data_dir, &settings, mint)
        }
    }

    /// Runs a command of such a program on what is shared, to its end.
    #[must_use]
    pub fn command_of(&self, program: &str, arguments: &[&str], source: &FakeSource) -> Finished {
        let settings = self.settings(&source.host(), &Reached::default());
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        process::command_of(program, &self.next_data_dir(), arguments, &settings)
    }

    /// A connection to the database.
    ///
    /// # Errors
    /// What the database says.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.postgres.address()).await
    }

    /// Changes the database behind the stores' backs; how many rows that changed.
    ///
    /// # Panics
    /// If the database refuses.
    pub async fn execute(&self, statement: &'static str) -> u64 {
        let mut connection = self.connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap().rows_affected()
    }

    /// Asks the database for one value.
    ///
    /// # Panics
    /// If there is none.
    pub async fn ask<T>(&self, query: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let mut connection = self.connect().await.unwrap();
        sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap()
    }

    /// Jobs that were accepted and have not ended, each with the number of its last claim.
    ///
    /// # Errors
    /// What the database says.
    pub async fn accepted_jobs(&self) -> Result<BTreeMap<String, i64>, sqlx::Error> {
        let query = "select id::text, epoch from job
            where is_accepted and state in ('waiting', 'ready', 'claimed', 'parked')";
        let mut connection = self.connect().await?;
        let jobs: Vec<(String, i64)> = sqlx::query_as(query).fetch_all(&mut connection).await?;
        Ok(jobs.into_iter().collect())
    }

    /// All that is there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn look(&self) -> Result<Shared, sqlx::Error> {
        let mut connection = self.connect().await?;
        let blobs: Vec<(String, String)> =
            sqlx::query_as("select sha256, key from blob").fetch_all(&mut connection).await?;
        let other_keys =
            sqlx::query_as("select key, state from blob_key order by 1").fetch_all(&mut connection).await?;
        let jobs: Vec<(String, i64)> =
            sqlx::query_as("select state, count(*) from job group by 1").fetch_all(&mut connection).await?;
        let rows = read_rows(&mut connection).await?;
        let modules = sqlx::query_scalar("select app_code || '/' || module || '/' || source_origin from module");
        let modules = modules.fetch_all(&mut connection).await?;
        let (objects, open_uploads) = (self.weed.objects().await, self.weed.open_uploads().await);
        let (blobs, jobs) = (blobs.into_iter().collect(), jobs.into_iter().collect());
        Ok(Shared { rows, modules, blobs, other_keys, jobs, objects, open_uploads })
    }

    /// Lets the leases of all who hold keys or maintain what is shared run out. Those that live say so again.
    pub async fn let_holders_expire(&self) {
        self.execute("update blob_holder set alive_until = alive_until - interval '1 hour'").await;
        self.execute("update maintenance_lease set lease_until = lease_until - interval '1 hour'").await;
    }

    /// Lets all graces of keys and blobs pass.
    pub async fn let_graces_pass(&self) {
        self.execute("update blob_key set since = since - interval '8 days'").await;
        self.execute("update blob set published_at = published_at - interval '2 hours'").await;
    }

    /// What collects all that is left over and may go.
    #[must_use]
    pub fn collecting() -> Reached {
        let settings = COLLECTING.map(|(name, value)| (name, value.to_owned())).to_vec();
        Reached { settings, ..Reached::default() }
    }

    /// Lets a store of its own collect what is left over, and waits until there is nothing but what packages need: no open
    /// upload, no key that is no blob's, no blob without a row, no row without its object. No job may be under way.
    ///
    /// # Panics
    /// If something is left.
    pub async fn collect(&self, source: &FakeSource) -> Shared {
        self.let_holders_expire().await;
        let collecting = self.store(source, &Self::collecting());
        let left = wait_until(async || {
            self.let_graces_pass().await;
            let look = self.look().await.map_err(|e| e.to_string())?;
            let wrong = look.left_over();
            if wrong.is_empty() { Ok(look) } else { Err(wrong.join("\n")) }
        })
        .await;
        collecting.stop();
        left
    }
}

impl Shared {
    /// Jobs that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> i64 {
        ["waiting", "ready", "claimed", "parked"].iter().filter_map(|state| self.jobs.get(*state)).sum()
    }

    /// What nobody needs, and what somebody needs and is not there.
    #[must_use]
    pub fn left_over(&self) -> Vec<String> {
        let mut wrong: Vec<String> =
            self.open_uploads.iter().map(|upload| format!("an upload is open: {upload}")).collect();
        wrong.extend(self.other_keys.iter().map(|(key, state)| format!("{key} is no blob's: {state}")));
        let needed: BTreeSet<&str> =
            self.rows.iter().filter(|row| !row.is_purged).map(|row| row.sha256.as_str()).collect();
        wrong.extend(
            needed.iter().filter(|name| !self.blobs.contains_key(**name)).map(|name| format!("{name} is gone")),
        );
        let unneeded = self.blobs.keys().filter(|name| !needed.contains(name.as_str()));
        wrong.extend(unneeded.map(|name| format!("nobody needs {name}")));
        let keys: BTreeSet<&str> = self.blobs.values().map(String::as_str).collect();
        let objects: BTreeSet<&str> = self.objects.iter().map(String::as_str).collect();
        wrong.extend(keys.difference(&objects).map(|key| format!("{key} is not in the bucket")));
        let is_known = |object: &str| keys.contains(object.strip_suffix(".intoto.jsonl").unwrap_or(object));
        let unknown = objects.iter().filter(|object| !is_known(object));
        wrong.extend(unknown.map(|object| format!("{object} is in the bucket and nobody knows it")));
        wrong
    }
}

async fn read_rows(connection: &mut PgConnection) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query("select * from source_package order by id").fetch_all(connection).await?;
    Ok(rows.iter().map(Row::read).collect())
}

/// Asks for an upload whose caller does not wait for it.
#[must_use]
pub fn hurried(request: LinkRequestBuilder) -> LinkRequestBuilder {
    request.header("prefer", "respond-async").in_english()
}
