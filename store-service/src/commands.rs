//! What the binary does besides serving: its subcommands, their reports and exit codes.
//!
//! Promises: reports go to standard output, what went wrong to standard error; the exit code alone says how it ended.
//! Needs of all settings only the data directory, and `health` only where the store listens.

mod events;
mod health;
mod retention;

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use linkgate_blob::DirectoryBlobStore;
use linkgate_catalog::{SqliteCatalog, SqliteReader};
use linkgate_store_core::data_dir::{DataDir, DataDirError, catalog_path, refuse_half_restored};
use linkgate_store_core::ingest::chain;
use linkgate_store_core::ingest::ports::CatalogReader as _;
use linkgate_store_core::maintenance::{
    self, Collected, Copied, Finding, Gc, MaintenanceError, Purge, PurgeSummary, Summary, at,
};
use linkgate_store_core::settings::QueueLimits;

use crate::config::{CommandConfig, Env};
use crate::{runtime, telemetry};
pub use events::EventArgs;
pub use retention::RetentionCommand;

/// `EX_USAGE` of sysexits.h: trying again will not help.
pub const BAD_CONFIG: u8 = 64;
/// Something is not as it should be.
const FINDINGS: u8 = 1;
/// It could not be found out, or not be done.
const COULD_NOT_RUN: u8 = 2;
/// For who meets a running store.
const STOP_IT_FIRST: &str = "Stop it first. A running store collects garbage, purges and scrubs by itself: \
    LINKGATE_STORE_GC_INTERVAL_S, LINKGATE_STORE_PURGE_INTERVAL_S, LINKGATE_STORE_SCRUB_BYTES_PER_S";

/// Looks after a data directory.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Deletes packages that no row references and temporary files that nobody owns; refused while a store runs, which
    /// does this by itself
    Gc {
        /// Only says what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Frees the bytes of deleted packages whose time to be restored is over; refused while a store runs, which does this by
    /// itself
    Purge {
        /// Only says what would be purged
        #[arg(long)]
        dry_run: bool,
    },
    /// Prints what happened to packages, the oldest first, also while a store runs
    Events(EventArgs),
    /// Shows or does what the rules of `LINKGATE_RETENTION_FILE` say
    Retention {
        /// Which of the two
        #[command(subcommand)]
        command: RetentionCommand,
    },
    /// Reads everything that is stored and holds it against the catalog, also while a store runs
    Verify {
        /// Moves corrupt packages to quarantine and deletes orphaned ones; refused while a store runs
        #[arg(long)]
        repair: bool,
        /// One JSON object in a line for each finding, and one for the end
        #[arg(long)]
        json: bool,
    },
    /// Copies catalog and packages as they are now into a new directory, also while a store runs
    Backup {
        /// A directory that is not there, or empty
        dir: PathBuf,
    },
    /// Asks the store on this machine whether it can take packages
    Health,
    /// Puts a backup into an empty data directory
    Restore {
        /// The backup
        dir: PathBuf,
    },
}

/// Does it and says how it ended.
#[must_use]
pub fn execute(command: Command) -> ExitCode {
    if matches!(command, Command::Health) {
        return health::health();
    }
    let config = match CommandConfig::from_vars(&Env) {
        Ok(config) => config,
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    telemetry::start(&config.log, None);
    let done = match runtime() {
        Ok(runtime) => runtime.block_on(dispatch(command, &config)),
        Err(cause) => Err(MaintenanceError::File { path: config.data_dir, cause }),
    };
    done.unwrap_or_else(|e| {
        eprintln!("{}", chain(&e));
        if matches!(e, MaintenanceError::DataDir(DataDirError::InUse(_))) {
            eprintln!("{STOP_IT_FIRST}");
        }
        ExitCode::from(COULD_NOT_RUN)
    })
}

async fn dispatch(command: Command, config: &CommandConfig) -> Result<ExitCode, MaintenanceError> {
    let data_dir = &config.data_dir;
    match command {
        Command::Gc { dry_run } => {
            let (_locked, blobs, catalog) = open_alone(data_dir).await?;
            let collected = Gc::offline(blobs, catalog.clone(), dry_run).run().await;
            catalog.close().await;
            say_collected(collected?, dry_run);
            Ok(ExitCode::SUCCESS)
        }
        Command::Health => Ok(health::health()),
        Command::Events(arguments) => events::events(config, arguments).await,
        Command::Retention { command } => retention::retention(config, command).await,
        Command::Purge { dry_run } => purge(data_dir, dry_run).await,
        Command::Verify { repair, json } => verify(config, repair, json).await,
        Command::Backup { dir } => {
            let (blobs, catalog) = open_beside(data_dir).await?;
            let copied = maintenance::backup(blobs, catalog.clone(), data_dir, &dir, &mut say_missing).await;
            catalog.close().await;
            Ok(say_copied("Backed up", &dir, copied?))
        }
        Command::Restore { dir } => {
            let copied = maintenance::restore(data_dir, &dir, open_beside, &mut say_missing).await?;
            Ok(say_copied("Restored", data_dir, copied))
        }
    }
}

async fn purge(data_dir: &Path, dry_run: bool) -> Result<ExitCode, MaintenanceError> {
    let (_locked, blobs, catalog) = open_alone(data_dir).await?;
    let purge = Purge::new(blobs, catalog.clone());
    let done = if dry_run { purge.preview().await } else { purge.run().await };
    catalog.close().await;
    let PurgeSummary { packages, bytes, freed, held } = done?;
    let verb = if dry_run { "Would purge" } else { "Purged" };
    say(format_args!("{verb} {packages} deleted packages ({bytes} bytes)"));
    if !dry_run {
        say(format_args!("{freed} files are gone; others need the rest"));
    }
    if held > 0 {
        say(format_args!("{held} files stay: a backup or a check needs them now"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify(config: &CommandConfig, repair: bool, json: bool) -> Result<ExitCode, MaintenanceError> {
    let mut report = |finding: &Finding| if json { say_json(finding) } else { say(finding) };
    let summary = if repair {
        let (_locked, blobs, catalog) = open_alone(&config.data_dir).await?;
        let summary = maintenance::repair(blobs, catalog.clone(), std::time::Duration::ZERO, &mut report).await;
        catalog.close().await;
        summary?
    } else {
        let (blobs, catalog) = open_beside(&config.data_dir).await?;
        let summary = maintenance::verify(blobs, catalog.clone(), config.maintenance.gc_grace, &mut report).await;
        catalog.close().await;
        summary?
    };
    let Summary { rows, blobs, bytes, findings } = summary;
    if json {
        say_json(&serde_json::json!({ "summary": summary }));
    } else {
        say(format_args!(
            "{rows} rows, {blobs} packages, {bytes} bytes: {findings} {}",
            if findings == 1 { "finding" } else { "findings" }
        ));
    }
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// Opens a data directory that no other process uses.
async fn open_alone(data_dir: &Path) -> Result<(DataDir, DirectoryBlobStore, SqliteCatalog), MaintenanceError> {
    let locked = DataDir::lock_existing(data_dir)?;
    let blobs = DirectoryBlobStore::existing(data_dir).map_err(at(data_dir))?;
    let catalog = SqliteCatalog::open(&locked.existing_catalog()?, QueueLimits::default()).await;
    Ok((locked, blobs, catalog.map_err(|e| MaintenanceError::Open(e.into()))?))
}

/// Opens a data directory or a backup to be read, also beside a running store.
async fn open_beside(dir: &Path) -> Result<(DirectoryBlobStore, SqliteReader), MaintenanceError> {
    refuse_half_restored(dir)?;
    let blobs = DirectoryBlobStore::existing(dir).map_err(at(dir))?;
    Ok((blobs, SqliteReader::open(&catalog_path(dir)).await?))
}

/// Whoever stops reading the report still gets the exit code.
fn say(line: impl Display) {
    let _heard_or_not = writeln!(std::io::stdout(), "{line}");
}

fn say_json(value: &impl serde::Serialize) {
    match serde_json::to_string(value) {
        Ok(line) => say(line),
        Err(e) => eprintln!("a line of the report cannot be written: {e}"),
    }
}

fn say_collected(collected: Collected, dry_run: bool) {
    let Collected { blobs, blob_bytes, temp_files, temp_bytes, held } = collected;
    let verb = if dry_run { "Would delete" } else { "Deleted" };
    say(format_args!(
        "{verb} {blobs} orphaned packages ({blob_bytes} bytes) and {temp_files} temporary files ({temp_bytes} bytes)"
    ));
    if held > 0 {
        say(format_args!("{held} orphaned packages stay: a backup or a check needs them now"));
    }
}

fn say_missing(sha256: &str) {
    say(format_args!("{sha256} is in the catalog and missing"));
}

fn say_copied(verb: &str, to: &Path, copied: Copied) -> ExitCode {
    let Copied { blobs, bytes, linked, missing, .. } = copied;
    say(format_args!(
        "{verb} to {}: {blobs} packages ({bytes} bytes), {linked} of them as links, {missing} missing",
        to.display()
    ));
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) }
}
