//! What a store keeps, seen from outside: its data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ColumnIndex, ConnectOptions as _, Connection as _, Decode, Type};

use crate::engine::{self, SharedServers};

/// A data directory.
#[derive(Clone)]
pub struct DataDirectory {
    path: PathBuf,
    /// What stands for it, where stores share what they store.
    shared: Option<Arc<SharedServers>>,
}

/// A row of `source_package`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns are explained in the migration")]
pub struct Row {
    pub id: i64,
    pub app_code: String,
    pub module: String,
    pub version: String,
    pub package_name: String,
    pub size_bytes: i64,
    pub sha256: String,
    pub operator: String,
    pub format: Option<String>,
    pub relative_path: String,
    pub meta_info: Option<String>,
    pub declared_version: Option<String>,
    pub entries: Option<i64>,
    pub unpacked_bytes: Option<i64>,
    pub is_deleted: bool,
    pub is_purged: bool,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Row {
    /// As either database has it. Catalogs of early releases do not say what was purged.
    pub(crate) fn read<'r, R: sqlx::Row>(row: &'r R) -> Self
    where
        &'static str: ColumnIndex<R>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
        String: Decode<'r, R::Database> + Type<R::Database>,
        bool: Decode<'r, R::Database> + Type<R::Database>,
    {
        Self {
            id: row.get("id"),
            app_code: row.get("app_code"),
            module: row.get("module"),
            version: row.get("version"),
            package_name: row.get("package_name"),
            size_bytes: row.get("size_bytes"),
            sha256: row.get("sha256"),
            operator: row.get("operator"),
            format: row.get("format"),
            relative_path: row.get("relative_path"),
            meta_info: row.get("meta_info"),
            declared_version: row.get("declared_version"),
            entries: row.get("entries"),
            unpacked_bytes: row.get("unpacked_bytes"),
            is_deleted: row.get("is_deleted"),
            is_purged: row.try_get::<Option<i64>, _>("purged_ms").is_ok_and(|purged| purged.is_some()),
            created_ms: row.get("created_ms"),
            updated_ms: row.get("updated_ms"),
        }
    }
}

/// A row of `event`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the columns are explained in the migration")]
pub struct EventRow {
    pub action: String,
    pub module: String,
    pub package_id: Option<i64>,
    pub version: Option<String>,
    pub sha256_before: Option<String>,
    pub sha256_after: Option<String>,
    pub caller_app: String,
    pub operator: String,
    pub request_id: String,
    pub client_address: String,
    pub reason: String,
}

impl EventRow {
    /// As either database has it.
    pub(crate) fn read<'r, R: sqlx::Row>(row: &'r R) -> Self
    where
        &'static str: ColumnIndex<R>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
        String: Decode<'r, R::Database> + Type<R::Database>,
    {
        Self {
            action: row.get("action"),
            module: row.get("module"),
            package_id: row.get("package_id"),
            version: row.get("version"),
            sha256_before: row.get("sha256_before"),
            sha256_after: row.get("sha256_after"),
            caller_app: row.get("caller_app"),
            operator: row.get("operator"),
            request_id: row.get("request_id"),
            client_address: row.get("client_address"),
            reason: row.get("reason"),
        }
    }
}

impl DataDirectory {
    /// Looks into this directory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let shared = engine::servers_of(&path);
        Self { path, shared }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the packages that are kept, sorted. Fails on anything that lies in the wrong folder or holds other bytes
    /// than its name says.
    #[must_use]
    pub fn stored_files(&self) -> Vec<String> {
        if let Some(shared) = &self.shared {
            return shared.stored_files();
        }
        let mut names: Vec<String> = files_below(&self.path.join("blobs")).iter().map(|path| checked(path)).collect();
        names.sort();
        names
    }

    /// Temporary files that are there now.
    #[must_use]
    pub fn temp_files(&self) -> Vec<PathBuf> {
        files_below(&self.path.join("tmp"))
    }

    /// Where the package of this name lies, or would.
    #[must_use]
    pub fn blob(&self, sha256: &str) -> PathBuf {
        assert!(self.shared.is_none(), "packages are in a bucket: say that the test is about directories");
        self.path.join("blobs").join(&sha256[..2]).join(sha256)
    }

    /// Puts a package there that no row points at, as a store leaves it that is killed before it records it; gives its name.
    #[must_use]
    pub fn plant(&self, bytes: &[u8]) -> String {
        let sha256 = crate::sha256_hex(bytes);
        let path = self.blob(&sha256);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        sha256
    }

    /// All files, with what they hold, but not the catalog and the locks.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> =
            ["blobs", "tmp", "quarantine"].iter().flat_map(|dir| files_below(&self.path.join(dir))).collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    }

    /// All rows, by id.
    pub async fn rows(&self) -> Vec<Row> {
        self.try_rows().await.unwrap()
    }

    /// Uploads that were promised and have not ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unfinished(&self) -> Result<i64, sqlx::Error> {
        let query = sqlx::query_scalar("select count(*) from job where state is null");
        self.with_catalog(async |catalog| query.fetch_one(catalog).await).await
    }

    /// Credentials of callers that are written down, as they are: sealed.
    pub async fn sealed_credentials(&self) -> Vec<Vec<u8>> {
        let query = sqlx::query_scalar("select sealed_credential from job where sealed_credential is not null");
        self.with_catalog(async |catalog| query.fetch_all(catalog).await).await.unwrap()
    }

    /// Whether any file of it, also of the database, holds these bytes.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let files = files_below(&self.path);
        assert!(files.iter().any(|file| file.ends_with("catalog.sqlite3")), "{files:?}");
        files.iter().any(|file| std::fs::read(file).unwrap().windows(bytes.len()).any(|part| part == bytes))
    }

    /// The same of a catalog that may be damaged.
    ///
    /// # Errors
    /// What the database says.
    pub async fn try_rows(&self) -> Result<Vec<Row>, sqlx::Error> {
        if let Some(shared) = &self.shared {
            return Ok(shared.rows().await);
        }
        let query = sqlx::query("select * from source_package order by id");
        let rows = self.with_catalog(async |catalog| query.fetch_all(catalog).await).await?;
        Ok(rows.iter().map(Row::read).collect())
    }

    /// The live packages that no pin keeps, by their module: number and creation.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unpinned(&self) -> Result<Vec<(String, i64, i64)>, sqlx::Error> {
        let query = sqlx::query_as(
            "select app_code || '/' || module, id, created_ms from source_package
             where is_deleted = 0 and not exists (select 1 from pin where package_id = source_package.id)",
        );
        self.with_catalog(async |catalog| query.fetch_all(catalog).await).await
    }

    /// What happened to packages, the oldest first.
    pub async fn events(&self) -> Vec<EventRow> {
        if let Some(shared) = &self.shared {
            return shared.events().await;
        }
        let rows = sqlx::query("select * from event order by id").fetch_all(&mut self.open().await).await.unwrap();
        rows.iter().map(EventRow::read).collect()
    }

    /// What was done or refused, in a word each, the oldest first.
    pub async fn event_actions(&self) -> Vec<String> {
        self.events().await.into_iter().map(|event| event.action).collect()
    }

    /// Uploads that are recorded, the oldest first: state and link.
    pub async fn jobs(&self) -> Vec<(String, String)> {
        if let Some(shared) = &self.shared {
            return shared.jobs().await;
        }
        let text = "select coalesce(state, 'unfinished'), source_url from job order by created_ms, id";
        sqlx::query_as(text).fetch_all(&mut self.open().await).await.unwrap()
    }

    /// Where packages came from: the link that was asked for, the one that gave the bytes, and the request's id.
    pub async fn provenance(&self) -> Vec<(String, Option<String>, String)> {
        if let Some(shared) = &self.shared {
            return shared.provenance().await;
        }
        let text = "select source_url, final_url, request_id from provenance order by package_id";
        sqlx::query_as(text).fetch_all(&mut self.open().await).await.unwrap()
    }

    /// The tenants that jobs and packages are recorded for, the oldest first.
    pub async fn tenants(&self) -> (Vec<Option<String>>, Vec<Option<String>>) {
        if let Some(shared) = &self.shared {
            return shared.tenants().await;
        }
        let mut catalog = self.open().await;
        let jobs = sqlx::query_scalar("select tenant_id from job order by created_ms, id");
        let jobs = jobs.fetch_all(&mut catalog).await.unwrap();
        let packages = sqlx::query_scalar("select tenant_id from provenance order by package_id");
        (jobs, packages.fetch_all(&mut catalog).await.unwrap())
    }

    /// Registered modules as `app/module/origin`.
    pub async fn modules(&self) -> Vec<String> {
        self.try_modules().await.unwrap()
    }

    /// The same of a catalog that may be damaged.
    ///
    /// # Errors
    /// What the database says.
    pub async fn try_modules(&self) -> Result<Vec<String>, sqlx::Error> {
        if let Some(shared) = &self.shared {
            return Ok(shared.modules().await);
        }
        let text = "select app_code || '/' || module || '/' || source_origin from module order by 1";
        self.with_catalog(async |catalog| sqlx::query_scalar(text).fetch_all(catalog).await).await
    }

    /// Changes the catalog behind the store's back.
    pub async fn execute(&self, statement: &'static str) {
        if let Some(shared) = &self.shared {
            return shared.execute(statement).await;
        }
        sqlx::query(statement).execute(&mut self.open().await).await.unwrap();
    }

    /// Fails unless nothing at all is stored.
    pub async fn assert_empty(&self) {
        assert_eq!(self.stored_files(), Vec::<String>::new(), "no package may be kept");
        assert_eq!(self.rows().await, [], "no row may be recorded");
        assert_eq!(self.modules().await, Vec::<String>::new(), "no module may be registered");
        assert_eq!(self.temp_files(), Vec::<PathBuf>::new(), "no temporary file may be left");
    }

    /// Marks a version as deleted, as a platform does it; how many rows that changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete(&self, app_code: &str, module: &str, version: &str) -> Result<u64, sqlx::Error> {
        if let Some(shared) = &self.shared {
            return shared.delete([app_code, module, version]).await;
        }
        let statement = "update source_package set is_deleted = 1
            where app_code = ? and module = ? and version = ? and is_deleted = 0";
        let query = sqlx::query(statement).bind(app_code).bind(module).bind(version);
        Ok(self.with_catalog(async |catalog| query.execute(catalog).await).await?.rows_affected())
    }

    /// Marks a version as deleted and purged, so that nobody needs its bytes and they are left over; how many rows that changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete_for_good(&self, app_code: &str, module: &str, version: &str) -> Result<u64, sqlx::Error> {
        let statement = "update source_package set is_deleted = 1, purged_ms = 1
            where app_code = ? and module = ? and version = ? and is_deleted = 0";
        let query = sqlx::query(statement).bind(app_code).bind(module).bind(version);
        Ok(self.with_catalog(async |catalog| query.execute(catalog).await).await?.rows_affected())
    }

    async fn open(&self) -> SqliteConnection {
        self.try_open().await.unwrap()
    }

    /// Closes them before it returns: to drop them would go on in the background, and touch a disk that may be gone then.
    async fn with_catalog<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let mut catalog = self.try_open().await?;
        let done = work(&mut catalog).await;
        catalog.close().await.and(done)
    }

    async fn try_open(&self) -> Result<SqliteConnection, sqlx::Error> {
        let path = self.path.join("catalog.sqlite3");
        // Durable once it is done, as the store's own writes are.
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        options.synchronous(SqliteSynchronous::Full).connect().await
    }
}

fn checked(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    assert_eq!(folder, &name[..2], "{} lies in the wrong folder", path.display());
    assert_eq!(crate::sha256_hex(&std::fs::read(path).unwrap()), name, "a package must hold what its name says");
    name
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
