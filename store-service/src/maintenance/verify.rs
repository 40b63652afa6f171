//! Holds what is kept against the books: every row against its blob, every blob against its name and its rows.
//!
//! Promises: what is found is told at once, one by one. A repair loses nothing that is good: a blob with wrong bytes is
//! moved aside and never removed, a blob that no row points at is removed, rows are named and never touched. Refuses to
//! call a blob lost before the books were asked again while nobody could publish.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use linkgate_blob::{BlobStat, DirectoryBlobStore, Listed};
use linkgate_catalog::{Booked, Books, RowName, SqliteCatalog};
use linkgate_contract::Sha256;
use linkgate_store_core::data_dir::{DataDir, catalog_path, refuse_half_restored};
use linkgate_store_core::ingest::Publishing;
use linkgate_store_core::ingest::chain;
use linkgate_store_core::ingest::ports::BlobStore as _;

use super::MaintenanceError;
use super::at;
use super::digest::{BlobDigester, Content, ReadRate};

/// Something that is not as it should be, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What it is.
    #[serde(flatten)]
    pub fault: FindingKind,
    /// What was done about it, if anything.
    #[serde(flatten)]
    pub done: Option<Repair>,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum FindingKind {
    /// The database itself is damaged.
    CatalogDamaged {
        /// What SQLite says.
        detail: String,
    },
    /// Rows point at a blob that is not there.
    BlobMissing {
        /// Which, as the rows have it; it may be no digest at all.
        sha256: String,
        /// The rows, the first hundred of them.
        rows: Vec<RowName>,
    },
    /// A blob holds other bytes than its name says, or not all of them.
    BlobCorrupt {
        /// Which.
        sha256: Sha256,
        /// Its length.
        size_bytes: u64,
        /// The rows that point at it, the first hundred of them.
        rows: Vec<RowName>,
    },
    /// A blob that the disk does not give.
    BlobUnreadable {
        /// Which.
        sha256: Sha256,
        /// What the disk said.
        detail: String,
        /// The rows that point at it, the first hundred of them.
        rows: Vec<RowName>,
    },
    /// A blob is as its name says, but rows that point at it say another size.
    SizeMismatch {
        /// Which.
        sha256: Sha256,
        /// Its length.
        size_bytes: u64,
        /// The rows that point at it, the first hundred of them.
        rows: Vec<RowName>,
    },
    /// No row points at a blob.
    BlobOrphaned {
        /// Which.
        sha256: Sha256,
        /// Its length.
        size_bytes: u64,
    },
    /// Something among the blobs that is none.
    Stray {
        /// Where.
        path: PathBuf,
    },
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// It is in quarantine now.
    MovedTo(PathBuf),
    /// It is gone: `true`. Or it stays for a backup of this moment.
    Removed(bool),
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Live rows.
    pub rows: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Findings.
    pub findings: u64,
}

/// Who is told of a finding.
type Told<'a> = &'a mut (dyn FnMut(&Finding) + Send);

pub(super) struct Verify {
    pub(super) blobs: DirectoryBlobStore,
    pub(super) books: Books,
    pub(super) publishing: Publishing,
    pub(super) pace: ReadRate,
    /// A blob without a row that is younger than this may be about to get one.
    pub(super) grace: Duration,
    pub(super) repairs: bool,
}

/// Checks a data directory without changing anything, also while a store runs on it: nothing is removed meanwhile.
///
/// # Errors
/// [`MaintenanceError`] says why it could not be done to the end.
pub async fn verify(data_dir: &Path, grace: Duration, told: Told<'_>) -> Result<Summary, MaintenanceError> {
    refuse_half_restored(data_dir)?;
    let blobs = DirectoryBlobStore::existing(data_dir).map_err(at(data_dir))?;
    let _nothing_is_removed = blobs.hold_all().await?;
    let books = Books::open(&catalog_path(data_dir)).await?;
    let (publishing, pace) = (Publishing::default(), ReadRate::Full);
    let verify = Verify { blobs, books, publishing, pace, grace, repairs: false };
    let summary = verify.run(0, told).await;
    verify.books.close().await;
    summary
}

/// Checks a data directory that no store uses, and repairs what can be repaired without losing anything that is good.
///
/// # Errors
/// [`MaintenanceError`] says why it could not be done to the end.
pub async fn repair(data_dir: &Path, told: Told<'_>) -> Result<Summary, MaintenanceError> {
    let locked = DataDir::lock_existing(data_dir)?;
    let blobs = DirectoryBlobStore::existing(data_dir).map_err(at(data_dir))?;
    let catalog = SqliteCatalog::open(&locked.existing_catalog()?).await?;
    let (books, publishing, pace) = (catalog.books(), Publishing::default(), ReadRate::Full);
    let verify = Verify { blobs, books, publishing, pace, grace: Duration::ZERO, repairs: true };
    let summary = verify.run(0, told).await;
    catalog.close().await;
    summary
}

impl Verify {
    /// Checks everything once, blobs from this one of their 256 folders on.
    pub(super) async fn run(&self, first_folder: u8, told: Told<'_>) -> Result<Summary, MaintenanceError> {
        let mut report = Report { summary: Summary::default(), told };
        if let Some(detail) = self.books.damage().await? {
            report.tell(FindingKind::CatalogDamaged { detail }, None);
            // An answer of such books is no reason to remove anything.
            if self.repairs {
                return Ok(report.summary);
            }
        }
        self.check_rows(&mut report).await?;
        self.check_blobs(first_folder, &mut report).await?;
        Ok(report.summary)
    }

    async fn check_rows(&self, report: &mut Report<'_>) -> Result<(), MaintenanceError> {
        let mut after = String::new();
        loop {
            let page = self.books.page_after(&after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.digest_text);
            for booked in page {
                report.summary.rows += u64::try_from(booked.rows).unwrap_or(0);
                if self.is_lost(&booked).await? {
                    let rows = self.books.rows_of(&booked.digest_text).await?;
                    report.tell(FindingKind::BlobMissing { sha256: booked.digest_text, rows }, None);
                }
            }
        }
    }

    /// The row may have changed, and its blob may have gone, since the page was read.
    async fn is_lost(&self, booked: &Booked) -> Result<bool, MaintenanceError> {
        // What is no hash names no file.
        let Ok(sha256) = booked.digest_text.parse::<Sha256>() else { return Ok(true) };
        if self.blobs.has(sha256).await? {
            return Ok(false);
        }
        let _nobody_publishes = self.publishing.hold().await;
        Ok(self.books.points_at(&sha256).await? && !self.blobs.has(sha256).await?)
    }

    async fn check_blobs(&self, first_folder: u8, report: &mut Report<'_>) -> Result<(), MaintenanceError> {
        let kept_before = SystemTime::now().checked_sub(self.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut reading = BlobDigester::new(self.blobs.clone(), self.pace);
        let mut walk = self.blobs.walk(first_folder);
        while let Some(found) = walk.recv().await {
            match found? {
                Listed::Stray(path) => report.tell(FindingKind::Stray { path }, None),
                Listed::Blob(blob) => self.check_blob(blob, kept_before, &mut reading, report).await?,
            }
        }
        Ok(())
    }

    async fn check_blob(
        &self,
        blob: BlobStat,
        kept_before: SystemTime,
        reading: &mut BlobDigester,
        report: &mut Report<'_>,
    ) -> Result<(), MaintenanceError> {
        let content = reading.read(&blob.sha256).await;
        if let Content::Sound { size_bytes } | Content::Wrong { size_bytes } = content {
            report.summary.blobs += 1;
            report.summary.bytes += size_bytes;
        }
        let sha256 = blob.sha256;
        match content {
            // Its rows, if it has any, were checked or will be.
            Content::Gone => Ok(()),
            Content::Sound { size_bytes } => self.check_booked(blob, size_bytes, kept_before, report).await,
            Content::Wrong { size_bytes } => {
                let rows = self.books.rows_of(&sha256.to_string()).await?;
                let done = if self.repairs { Some(self.move_aside(blob.sha256).await?) } else { None };
                report.tell(FindingKind::BlobCorrupt { sha256, size_bytes, rows }, done);
                Ok(())
            }
            Content::Unreadable(e) => {
                let rows = self.books.rows_of(&sha256.to_string()).await?;
                report.tell(FindingKind::BlobUnreadable { sha256, detail: chain(&e), rows }, None);
                Ok(())
            }
        }
    }

    async fn check_booked(
        &self,
        blob: BlobStat,
        size_bytes: u64,
        kept_before: SystemTime,
        report: &mut Report<'_>,
    ) -> Result<(), MaintenanceError> {
        let sha256 = blob.sha256;
        match self.books.booked(&blob.sha256).await? {
            Some(booked) if says_size(&booked, size_bytes) => {}
            Some(_) => {
                let rows = self.books.rows_of(&sha256.to_string()).await?;
                report.tell(FindingKind::SizeMismatch { sha256, size_bytes, rows }, None);
            }
            None if blob.kept > kept_before => {}
            None => {
                let done = if self.repairs { Some(self.remove(blob.sha256).await?) } else { None };
                report.tell(FindingKind::BlobOrphaned { sha256, size_bytes }, done);
            }
        }
        Ok(())
    }

    async fn move_aside(&self, sha256: Sha256) -> Result<Repair, MaintenanceError> {
        Ok(Repair::MovedTo(self.blobs.quarantine(sha256).await?))
    }

    async fn remove(&self, sha256: Sha256) -> Result<Repair, MaintenanceError> {
        Ok(Repair::Removed(self.blobs.remove_unless_held(sha256).await?))
    }
}

fn says_size(booked: &Booked, size_bytes: u64) -> bool {
    [booked.least_bytes, booked.most_bytes].iter().all(|said| u64::try_from(*said) == Ok(size_bytes))
}

struct Report<'a> {
    summary: Summary,
    told: Told<'a>,
}

impl Report<'_> {
    fn tell(&mut self, fault: FindingKind, done: Option<Repair>) {
        self.summary.findings += 1;
        (self.told)(&Finding { fault, done });
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.fault {
            FindingKind::CatalogDamaged { detail } => write!(f, "the books are damaged: {detail}"),
            FindingKind::BlobMissing { sha256, rows } => write!(f, "{sha256} is missing{}", Rows(rows)),
            FindingKind::BlobCorrupt { sha256, size_bytes, rows } => {
                write!(f, "{sha256} holds {size_bytes} bytes that are not its own{}", Rows(rows))
            }
            FindingKind::BlobUnreadable { sha256, detail, rows } => {
                write!(f, "{sha256} cannot be read ({detail}){}", Rows(rows))
            }
            FindingKind::SizeMismatch { sha256, size_bytes, rows } => {
                write!(f, "{sha256} has {size_bytes} bytes, the books say another size{}", Rows(rows))
            }
            FindingKind::BlobOrphaned { sha256, size_bytes } => {
                write!(f, "{sha256} ({size_bytes} bytes) is in no row")
            }
            FindingKind::Stray { path } => write!(f, "{} is no package", path.display()),
        }?;
        match &self.done {
            None => Ok(()),
            Some(Repair::MovedTo(path)) => write!(f, "; moved to {}", path.display()),
            Some(Repair::Removed(true)) => f.write_str("; removed"),
            Some(Repair::Removed(false)) => f.write_str("; stays, a backup needs it"),
        }
    }
}

/// Rows at the end of a sentence.
struct Rows<'a>(&'a [RowName]);

impl std::fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut between = ", wanted by";
        for RowName { id, app_code, module, version, .. } in self.0 {
            write!(f, "{between} row {id} (`{version}` of `{app_code}`/`{module}`)")?;
            between = ",";
        }
        Ok(())
    }
}
