//! The catalog in PostgreSQL, for any number of processes: its packages and modules.
//!
//! Promises: what the catalog in SQLite promises, to all processes that share the database; a recorded package is as durable as
//! the server makes what it commits. Refuses to start on a server older than 13, and on a database whose texts are not UTF-8.
//! Connections are its own from beginning to end: a pooler between that hands them around, or drops the timeouts that each one
//! begins with, is refused.

mod blob_keys;
mod bucket_mark;
mod changes;
mod chores;
mod cleanup;
mod columns;
mod database;
mod details;
mod ended;
mod event_pages;
mod events;
mod hints;
mod jobs;
mod lists;
mod maintenance;
mod modules;
mod nonces;
mod packages;
mod pages;
mod pins;
mod pooler;
mod provenance;
mod queue;
mod queue_state;
mod reader;
mod replicas;
mod restore;
mod schema;
mod sealing_keys;
mod search;
mod signing_keys;
mod silence;
mod snapshot;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use linkgate_contract::{ModuleRef, PackageId, PackageVersion, Sha256};
use linkgate_store_core::failpoint::{Step, reached};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    Catalog, CatalogError, Chore, EventAction, EventPage, EventQuery, Fence, JobEnd, JobRecord, LivePackage,
    Maintenance, ModuleSums, NewPackage, PackageDetail, PackagePage, PackageQuery, PackageReader, PackageSums, Pin,
    QuotaClaim, Recorded, StoredFile, StoredPackage, Turn,
};
use linkgate_store_core::settings::{Demand, QueueLimits, SourceOrigin, UsageOfTarget};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::task::AbortHandle;

use crate::again::retried;
use crate::shared::{NewEvent, uploader};
pub use blob_keys::PostgresBlobKeys;
pub use bucket_mark::BucketMark;
use chores::Chores;
use database::{CONNECTIONS, Waiting, commit, failed, options, pool};
use ended::EndedJobs;
pub use maintenance::PostgresLease;
use nonces::NonceRows;
use packages::Live;
use pages::Pages;
use pooler::refuse_pooler;
use queue_state::QueueState;
pub use replicas::{Replica, ReplicaAbout, ReplicaState};
pub use restore::{CatalogRestoreError, RestoreBegun};
pub use sealing_keys::SealingKeyError;
pub use signing_keys::{SigningKeyError, SigningPurpose};
pub use usage::PostgresReservation;

/// The catalog in PostgreSQL. A copy is another handle on the same, in the name of the same process.
#[derive(Clone)]
pub struct PostgresCatalog {
    pool: PgPool,
    listening: PgPool,
    pages: Pages,
    waiting: Waiting,
    state: Arc<QueueState>,
    chores: Chores,
    ended: EndedJobs,
    nonces: Arc<NonceRows>,
    background: Arc<Background>,
}

/// Why the catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresStartError {
    /// The address says nothing that can be connected to. What it says is not repeated: it may hold a password.
    #[error("the address of the database is none, such as postgres://user@host/name")]
    Address,
    /// See [`PostgresCatalog`].
    #[error("the database server is too old: its version is {found}, 13 or later is needed")]
    OldServer {
        /// Its version.
        found: String,
    },
    /// See [`PostgresCatalog`].
    #[error("the texts of the database are in {found}, they must be in UTF8")]
    Encoding {
        /// The encoding.
        found: String,
    },
    /// See [`PostgresCatalog`].
    #[error(
        "a pooler is between that {0}: connect to the database directly, or by session and with the timeouts of the role"
    )]
    Pooler(&'static str),
    /// No store has begun with it.
    #[error("the database holds no catalog; a store makes one when it starts")]
    Empty,
    /// See [`PostgresCatalog::attach`].
    #[error("the catalog is of an earlier release; use the commands of that one, or start a store of this one first")]
    EarlierRelease,
    /// See [`PostgresCatalog::begin_restore`].
    #[error("the database holds half of a restore: restore the same backup again, or begin with an empty database")]
    HalfRestored,
    /// It cannot be reached, or lets nobody in.
    #[error("the database cannot be opened: {0}")]
    Open(#[from] sqlx::Error),
    /// A migration was edited or could not be done.
    #[error("the database cannot be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

/// What goes on beside all that is asked. Ends with the last handle.
struct Background(Mutex<Vec<AbortHandle>>);

impl Background {
    fn add(&self, tasks: impl IntoIterator<Item = AbortHandle>) {
        self.tasks().extend(tasks);
    }

    fn stop(&self) {
        self.tasks().drain(..).for_each(|task| task.abort());
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        // Nothing in here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl PostgresCatalog {
    /// Connects to an existing, possibly empty database and brings it up to date. So many of its jobs may run and wait, in all
    /// processes together; all must say the same. Called within a runtime, which it uses as long as it lives.
    ///
    /// # Errors
    /// [`PostgresStartError`] says why it cannot be used.
    pub async fn connect(address: &str, limits: QueueLimits) -> Result<Self, PostgresStartError> {
        let catalog = Self::connect_up_to_date(address, limits).await?;
        schema::refuse_half_restored(&catalog.pool).await?;
        catalog.work_on_jobs();
        Ok(catalog)
    }

    /// Connects to an existing, possibly empty database and brings it up to date, to restore a backup into it.
    ///
    /// # Errors
    /// [`PostgresStartError`] says why it cannot be used.
    pub async fn connect_to_restore(address: &str) -> Result<Self, PostgresStartError> {
        Self::connect_up_to_date(address, QueueLimits::default()).await
    }

    async fn connect_up_to_date(address: &str, limits: QueueLimits) -> Result<Self, PostgresStartError> {
        let address = parse(address)?;
        let options = options(address.clone());
        // Before anything is done.
        refuse_pooler(&options).await?;
        let main = pool(CONNECTIONS, &options).connect_with(options.clone()).await?;
        schema::migrate(&address).await?;
        Ok(Self::begin(main, options, limits))
    }

    /// Connects to a database that a store of this release has made, for those who look after what is stored beside stores
    /// that run. Brings nothing up to date, and no job is to be queued or claimed here.
    ///
    /// # Errors
    /// [`PostgresStartError`] says why it cannot be used.
    pub async fn attach(address: &str) -> Result<Self, PostgresStartError> {
        let address = parse(address)?;
        let options = options(address.clone());
        let main = pool(CONNECTIONS, &options).connect_with(options.clone()).await?;
        schema::refuse_other_release(&address).await?;
        schema::refuse_half_restored(&main).await?;
        Ok(Self::begin(main, options, QueueLimits::default()))
    }

    fn begin(pool: PgPool, options: PgConnectOptions, limits: QueueLimits) -> Self {
        let listening = database::pool(1, &options).connect_lazy_with(options);
        let state = Arc::new(QueueState::new(limits));
        let (chores, working) = Chores::new(pool.clone(), Arc::clone(&state));
        let background = Arc::new(Background(Mutex::new(vec![tokio::spawn(working).abort_handle()])));
        let (pages, ended) = (Pages::new(pool.clone()), EndedJobs::new(limits.ended));
        let (nonces, waiting) = (Arc::new(NonceRows::new(limits.nonces)), Waiting::new(pool.clone()));
        Self { pool, listening, pages, waiting, state, chores, ended, nonces, background }
    }

    /// Hears what others say of jobs, until the last handle is gone.
    fn work_on_jobs(&self) {
        let hearing = tokio::spawn(hints::listen(self.listening.clone(), Arc::clone(&self.state)));
        let looking = tokio::spawn(hints::look_after_watched(self.pool.clone(), Arc::clone(&self.state)));
        self.background.add([hearing.abort_handle(), looking.abort_handle()]);
    }

    async fn try_protecting_pins(
        &self,
        target: &ModuleRef,
        version: &PackageVersion,
    ) -> Result<Vec<Pin>, CatalogError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        pins::protecting(&mut connection, target, version, now_ms()).await.map_err(failed)
    }

    /// Holds a key that this process signs with against that of the others, unless it takes the place of one of these.
    ///
    /// # Errors
    /// [`SigningKeyError`] if the others have another one, or it is not known.
    pub async fn agree_on_key(
        &self,
        purpose: SigningPurpose,
        key_id: &str,
        replaced: &[String],
    ) -> Result<(), SigningKeyError> {
        signing_keys::agree(&self.pool, purpose, key_id, replaced).await
    }

    /// Holds what this process seals with against that of the others: the ids of its keys, of which the first one seals.
    ///
    /// # Errors
    /// [`SealingKeyError`] if the others seal with a key that is none of these and was not given up, or that is not known.
    pub async fn agree_on_sealing(&self, held: &[String], given_up: &[String]) -> Result<(), SealingKeyError> {
        sealing_keys::agree(&self.pool, held, given_up).await
    }

    async fn try_record(
        &self,
        package: &NewPackage,
        job: &JobRecord,
        fence: Option<Fence>,
    ) -> Result<(Recorded, i64), CatalogError> {
        let (now, begun) = (now_ms(), Instant::now());
        let mut tx = self.waiting.begin_for(package.target.app.as_str()).await.map_err(failed)?;
        let waited = begun.elapsed();
        if !jobs::may_end(&mut tx, job.view.id, fence, self.state.process).await.map_err(failed)? {
            return Err(CatalogError::Fenced);
        }
        let live = packages::find_live(&mut tx, package).await.map_err(failed)?;
        judge(&mut tx, package, live.as_ref(), job, now).await?;
        let (row, replaced, action) = match live {
            Some(Live { id, sha256, .. }) => {
                (packages::replace(&mut tx, id, package, now).await, sha256, EventAction::Overwrite)
            }
            None => (packages::insert(&mut tx, package, now).await, None, EventAction::Upload),
        };
        let recorded = Recorded { row: row.map_err(failed)?, replaced, waited };
        self.end_record(tx, package, job, &recorded, action, now).await?;
        Ok((recorded, now))
    }

    /// Records all that comes with a package, and commits.
    async fn end_record(
        &self,
        mut tx: Transaction<'_, Postgres>,
        package: &NewPackage,
        job: &JobRecord,
        recorded: &Recorded,
        action: EventAction,
        now: i64,
    ) -> Result<(), CatalogError> {
        if package.registers_module {
            packages::register_module(&mut tx, package, now).await.map_err(failed)?;
        }
        let actor = uploader(job);
        let event = NewEvent::about(action, &package.target, &recorded.row, &actor);
        let event = NewEvent { before: recorded.replaced, ..event };
        let proof = events::record(&mut tx, &event, now).await.map_err(failed)?;
        provenance::record(&mut tx, recorded.row.id.row(), job, &package.provenance).await.map_err(failed)?;
        if !jobs::record_end(&mut tx, job, &JobEnd::Done(recorded.row.clone()), now).await.map_err(failed)? {
            return Err(CatalogError::KeyTaken);
        }
        self.ended.add(&mut tx, &job.request).await.map_err(failed)?;
        usage::forget(&mut tx, job.view.id).await.map_err(failed)?;
        reached(Step::CommitDue);
        commit(&self.pool, tx, &proof).await?;
        reached(Step::Committed);
        Ok(())
    }
}

/// What the parser says may repeat the address, so that is not told.
fn parse(address: &str) -> Result<PgConnectOptions, PostgresStartError> {
    address.parse().map_err(|_| PostgresStartError::Address)
}

/// Whether a package may be recorded in the place of what is there.
async fn judge(
    tx: &mut PgConnection,
    package: &NewPackage,
    live: Option<&Live>,
    job: &JobRecord,
    now: i64,
) -> Result<(), CatalogError> {
    let protecting = pins::protecting(tx, &package.target, &package.version, now).await.map_err(failed)?;
    package.conditions.judge(live.map(Live::existing).as_ref())?;
    if live.is_some() && !package.allow_overwrite {
        return Err(CatalogError::AlreadyExists);
    }
    let demand = Demand::of_package(package.size_bytes, live.map(|live| live.size_bytes));
    let used = usage::beside(tx, job.view.id, &package.target, &package.version).await.map_err(failed)?;
    package.quota.judge(used, demand).map_err(CatalogError::QuotaExceeded)?;
    if live.is_some() && !protecting.is_empty() {
        return Err(CatalogError::InUse(protecting));
    }
    Ok(())
}

impl Catalog for PostgresCatalog {
    type Reservation = PostgresReservation;

    async fn module_origin(&self, target: &ModuleRef) -> Result<Option<SourceOrigin>, CatalogError> {
        retried!(while it is away, packages::find_origin(&self.pool, target))
    }

    async fn has_live(&self, target: &ModuleRef, version: &PackageVersion) -> Result<bool, CatalogError> {
        retried!(while it is away, packages::has_live(&self.pool, target, version))
    }

    async fn find_live(
        &self,
        target: &ModuleRef,
        version: &PackageVersion,
    ) -> Result<Option<LivePackage>, CatalogError> {
        packages::find_live_package(&self.pool, target, version).await
    }

    async fn usage(&self, target: &ModuleRef) -> Result<UsageOfTarget, CatalogError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        usage::of_target(&mut connection, target).await.map_err(failed)
    }

    async fn reserve(&self, claim: QuotaClaim) -> Result<PostgresReservation, CatalogError> {
        let QueueState { process, limits, .. } = &*self.state;
        PostgresReservation::make(claim, self.waiting.clone(), *process, limits.lease, self.chores.clone()).await
    }

    async fn protecting_pins(&self, target: &ModuleRef, version: &PackageVersion) -> Result<Vec<Pin>, CatalogError> {
        retried!(while it is away, self.try_protecting_pins(target, version))
    }

    async fn record(
        &self,
        package: NewPackage,
        job: JobRecord,
        fence: Option<Fence>,
    ) -> Result<Recorded, CatalogError> {
        let (recorded, now) = retried!(while it is away, self.try_record(&package, &job, fence))?;
        self.has_ended(job.view, JobEnd::Done(recorded.row.clone()), now);
        Ok(recorded)
    }

    async fn find_stored(&self, target: &ModuleRef, sha256: &Sha256) -> Result<Option<StoredPackage>, CatalogError> {
        retried!(while it is away, packages::find_stored(&self.pool, target, sha256))
    }

    async fn statements(&self, sha256: &Sha256) -> Result<Vec<String>, CatalogError> {
        provenance::statements(&self.pool, sha256).await
    }

    async fn find_file(&self, target: &ModuleRef, id: PackageId) -> Result<Option<StoredFile>, CatalogError> {
        packages::find_file(&self.pool, target, id).await
    }

    async fn find_statement(&self, target: &ModuleRef, id: PackageId) -> Result<Option<String>, CatalogError> {
        provenance::find_statement(&self.pool, target, id).await
    }

    /// Writes that this process is alive, which neither a standby nor a database that may only be read takes. Not durably: it does not
    /// wait for a standby.
    async fn check(&self) -> Result<(), CatalogError> {
        let alive = "with fast as (select set_config('synchronous_commit', 'off', true))
            update replica set seen_at = clock_timestamp() from fast where holder = $1";
        let done = sqlx::query(alive).bind(self.state.process).execute(&self.pool);
        done.await.map(|_| ()).map_err(failed)
    }
}

impl PackageReader for PostgresCatalog {
    async fn list_packages(&self, target: &ModuleRef, query: &PackageQuery) -> Result<PackagePage, CatalogError> {
        lists::list(&self.pages, target, query).await
    }

    async fn find_package(&self, target: &ModuleRef, id: PackageId) -> Result<Option<PackageDetail>, CatalogError> {
        details::find(&self.pages, target, id).await
    }

    async fn list_modules(&self, after: Option<&ModuleRef>, limit: u32) -> Result<Vec<ModuleSums>, CatalogError> {
        modules::list(&self.pages, after, limit).await
    }

    async fn pinned_among(&self, target: &ModuleRef, packages: &[PackageId]) -> Result<Vec<PackageId>, CatalogError> {
        pins::pinned_among(&self.pages, target, packages).await
    }

    async fn package_sums(&self, target: &ModuleRef) -> Result<PackageSums, CatalogError> {
        details::package_sums(&self.pages, target).await
    }

    async fn list_events(&self, target: &ModuleRef, query: &EventQuery) -> Result<EventPage, CatalogError> {
        event_pages::list(&self.pages, target, query).await
    }
}

impl Maintenance for PostgresCatalog {
    type Lease = PostgresLease;

    async fn begin_chore(&self, chore: Chore, every: Duration) -> Result<Turn<PostgresLease>, CatalogError> {
        maintenance::begin(&self.pool, &self.chores, self.state.process, chore, every).await.map_err(failed)
    }

    /// A commit of unknown outcome is asked after where it is made, and a server shows what it has committed or nothing.
    async fn settle(&self) -> Result<(), CatalogError> {
        self.check().await
    }

    async fn expire_jobs(&self, ended_before_ms: i64) -> Result<u64, CatalogError> {
        jobs::expire(&self.pool, ended_before_ms).await
    }

    async fn expire_events(&self, before_ms: i64) -> Result<u64, CatalogError> {
        events::expire(&self.pool, before_ms).await
    }
}
