//! Holds what is stored against the catalog: every row against its blob, every blob against its name and its rows.
//!
//! Promises: what is found is reported at once, one by one. A repair loses nothing that is good: a blob with wrong bytes is
//! moved to quarantine and never deleted, an orphaned blob is deleted, rows are named and never touched. Refuses to
//! call a blob lost before the catalog was asked again while nobody could publish.

use linkgate_contract::Sha256;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::MaintenanceError;
use super::digest::{BlobDigester, Content, ReadRate};
use crate::ingest::chain;
use crate::ingest::ports::{BlobStat, BlobStore, CatalogReader, Listed, Reference, RowName};

/// Something that is not as it should be, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What it is.
    #[serde(flatten)]
    pub kind: FindingKind,
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
    /// Something in a shared storage that the database does not know: it may have been a blob of a moment before which the
    /// database was taken back.
    ObjectUnknown {
        /// Where.
        path: PathBuf,
        /// Its length.
        size_bytes: u64,
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
    /// Rows that need their bytes.
    pub rows: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Findings.
    pub findings: u64,
}

/// Who gets the findings.
type Reporter<'a> = &'a mut (dyn FnMut(&Finding) + Send);

pub(super) struct Verify<B, R> {
    pub(super) blobs: B,
    pub(super) catalog: R,
    pub(super) rate: ReadRate,
    /// A blob without a row that is younger than this may be about to get one.
    pub(super) grace: Duration,
    pub(super) repairs: bool,
    /// Whether the storage is asked for what the database does not know. That lists all of it.
    pub(super) looks_for_unknown: bool,
}

/// Checks everything without changing anything, also while a store runs on it: nothing is deleted meanwhile.
///
/// # Errors
/// [`MaintenanceError`] says why it could not be done to the end.
pub async fn verify(
    blobs: impl BlobStore,
    catalog: impl CatalogReader,
    grace: Duration,
    report: Reporter<'_>,
) -> Result<Summary, MaintenanceError> {
    let _nothing_is_deleted = blobs.hold().await?;
    Verify { blobs, catalog, rate: ReadRate::Full, grace, repairs: false, looks_for_unknown: true }.run(0, report).await
}

/// Checks everything, and repairs what can be repaired without losing anything that is good. No store may use it meanwhile,
/// unless its blobs have names that are never used again. A blob without a row stays if it is younger than the grace.
///
/// # Errors
/// [`MaintenanceError`] says why it could not be done to the end.
pub async fn repair(
    blobs: impl BlobStore,
    catalog: impl CatalogReader,
    grace: Duration,
    report: Reporter<'_>,
) -> Result<Summary, MaintenanceError> {
    Verify { blobs, catalog, rate: ReadRate::Full, grace, repairs: true, looks_for_unknown: true }.run(0, report).await
}

impl<B: BlobStore, R: CatalogReader> Verify<B, R> {
    /// Checks everything once, blobs from this one of their 256 folders on.
    pub(super) async fn run(&self, first_part: u8, reporter: Reporter<'_>) -> Result<Summary, MaintenanceError> {
        let mut report = Report { summary: Summary::default(), reporter };
        if let Some(detail) = self.catalog.find_damage().await? {
            report.tell(FindingKind::CatalogDamaged { detail }, None);
            // The word of such a catalog is no reason to delete anything.
            if self.repairs {
                return Ok(report.summary);
            }
        }
        self.check_rows(&mut report).await?;
        self.check_blobs(first_part, &mut report).await?;
        if self.looks_for_unknown {
            self.check_unknown(&mut report).await?;
        }
        Ok(report.summary)
    }

    async fn check_rows(&self, report: &mut Report<'_>) -> Result<(), MaintenanceError> {
        let mut after = String::new();
        loop {
            let page = self.catalog.references_after(&after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.digest_text);
            for reference in page {
                report.summary.rows += u64::try_from(reference.rows).unwrap_or(0);
                if self.is_lost(&reference).await? {
                    let rows = self.catalog.referencing_rows(&reference.digest_text).await?;
                    report.tell(FindingKind::BlobMissing { sha256: reference.digest_text, rows }, None);
                }
            }
        }
    }

    /// The row may have changed, and its blob may have gone, since the page was read.
    async fn is_lost(&self, reference: &Reference) -> Result<bool, MaintenanceError> {
        // What is no hash names no file.
        let Ok(sha256) = reference.digest_text.parse::<Sha256>() else { return Ok(true) };
        if self.blobs.stat(sha256).await?.is_some() {
            return Ok(false);
        }
        let _nobody_publishes_it = self.catalog.lock_blob(&sha256).await;
        Ok(self.catalog.is_referenced(&sha256).await? && self.blobs.stat(sha256).await?.is_none())
    }

    async fn check_blobs(&self, first_part: u8, report: &mut Report<'_>) -> Result<(), MaintenanceError> {
        let committed_before = SystemTime::now().checked_sub(self.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut digester = BlobDigester::new(self.blobs.clone(), self.rate);
        let mut listed = self.blobs.list(first_part);
        while let Some(found) = listed.recv().await {
            match found? {
                Listed::Stray(path) => report.tell(FindingKind::Stray { path }, None),
                Listed::Blob(blob) => self.check_blob(blob, committed_before, &mut digester, report).await?,
            }
        }
        Ok(())
    }

    async fn check_unknown(&self, report: &mut Report<'_>) -> Result<(), MaintenanceError> {
        let written_before = SystemTime::now().checked_sub(self.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut unknown = self.blobs.list_unknown();
        while let Some(found) = unknown.recv().await {
            let object = found?;
            if object.modified > written_before {
                continue;
            }
            let is_deleted = self.repairs && self.blobs.delete_unknown(&object).await?;
            let kind = FindingKind::ObjectUnknown { path: object.address, size_bytes: object.size_bytes };
            report.tell(kind, is_deleted.then_some(Repair::Removed(true)));
        }
        Ok(())
    }

    async fn check_blob(
        &self,
        blob: BlobStat,
        committed_before: SystemTime,
        digester: &mut BlobDigester<B>,
        report: &mut Report<'_>,
    ) -> Result<(), MaintenanceError> {
        let content = digester.examine(&blob.sha256).await;
        if let Content::Sound { size_bytes } | Content::Corrupt { size_bytes } = content {
            report.summary.blobs += 1;
            report.summary.bytes += size_bytes;
        }
        let sha256 = blob.sha256;
        match content {
            // Its rows, if it has any, were checked or will be.
            Content::Gone => Ok(()),
            Content::Sound { size_bytes } => self.check_references(blob, size_bytes, committed_before, report).await,
            Content::Corrupt { size_bytes } => {
                let rows = self.catalog.referencing_rows(&sha256.to_string()).await?;
                let done = if self.repairs { Some(self.move_to_quarantine(blob.sha256).await?) } else { None };
                report.tell(FindingKind::BlobCorrupt { sha256, size_bytes, rows }, done);
                Ok(())
            }
            Content::Unreadable(e) => {
                let rows = self.catalog.referencing_rows(&sha256.to_string()).await?;
                report.tell(FindingKind::BlobUnreadable { sha256, detail: chain(&e), rows }, None);
                Ok(())
            }
        }
    }

    async fn check_references(
        &self,
        blob: BlobStat,
        size_bytes: u64,
        committed_before: SystemTime,
        report: &mut Report<'_>,
    ) -> Result<(), MaintenanceError> {
        let sha256 = blob.sha256;
        match self.catalog.reference(&blob.sha256).await? {
            Some(reference) if reference.agrees_on(size_bytes) => {}
            Some(_) => {
                let rows = self.catalog.referencing_rows(&sha256.to_string()).await?;
                report.tell(FindingKind::SizeMismatch { sha256, size_bytes, rows }, None);
            }
            None if blob.modified > committed_before => {}
            None => {
                let done = if self.repairs { Some(self.delete(blob.sha256).await?) } else { None };
                report.tell(FindingKind::BlobOrphaned { sha256, size_bytes }, done);
            }
        }
        Ok(())
    }

    async fn move_to_quarantine(&self, sha256: Sha256) -> Result<Repair, MaintenanceError> {
        Ok(Repair::MovedTo(self.blobs.quarantine(sha256).await?))
    }

    async fn delete(&self, sha256: Sha256) -> Result<Repair, MaintenanceError> {
        Ok(Repair::Removed(self.blobs.delete(sha256).await?))
    }
}

impl Reference {
    fn agrees_on(&self, size_bytes: u64) -> bool {
        [self.least_bytes, self.most_bytes].iter().all(|said| u64::try_from(*said) == Ok(size_bytes))
    }
}

struct Report<'a> {
    summary: Summary,
    reporter: Reporter<'a>,
}

impl Report<'_> {
    fn tell(&mut self, kind: FindingKind, done: Option<Repair>) {
        self.summary.findings += 1;
        (self.reporter)(&Finding { kind, done });
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            FindingKind::CatalogDamaged { detail } => write!(f, "the catalog is damaged: {detail}"),
            FindingKind::BlobMissing { sha256, rows } => write!(f, "{sha256} is missing{}", Rows(rows)),
            FindingKind::BlobCorrupt { sha256, size_bytes, rows } => {
                write!(f, "{sha256} is corrupt: its {size_bytes} bytes have another digest{}", Rows(rows))
            }
            FindingKind::BlobUnreadable { sha256, detail, rows } => {
                write!(f, "{sha256} cannot be read ({detail}){}", Rows(rows))
            }
            FindingKind::SizeMismatch { sha256, size_bytes, rows } => {
                write!(f, "{sha256} has {size_bytes} bytes, the catalog says another size{}", Rows(rows))
            }
            FindingKind::BlobOrphaned { sha256, size_bytes } => {
                write!(f, "{sha256} ({size_bytes} bytes) is orphaned: no row references it")
            }
            FindingKind::Stray { path } => write!(f, "{} is no package", path.display()),
            FindingKind::ObjectUnknown { path, size_bytes } => {
                write!(f, "{} ({size_bytes} bytes) is unknown to the database", path.display())
            }
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
        let mut between = ", referenced by";
        for RowName { id, app_code, module, version, .. } in self.0 {
            write!(f, "{between} row {id} (`{version}` of `{app_code}`/`{module}`)")?;
            between = ",";
        }
        Ok(())
    }
}
