//! What the binary does besides serving: its subcommands, their reports and exit codes.
//!
//! Promises: reports go to standard output, what went wrong to standard error; the exit code alone says how it ended.
//! Needs of all settings only where things are stored, and `health` only where the store listens. What stores share is looked
//! after beside those that run, as they do it themselves; a data directory is another matter where something may be deleted.

mod cleaning;
mod copies;
mod events;
mod health;
mod opened;
mod replicas;
mod restore_shared;
mod retention;
mod verify;

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use linkgate_store_core::data_dir::DataDirError;
use linkgate_store_core::ingest::chain;
use linkgate_store_core::maintenance::MaintenanceError;

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

/// Looks after what is stored: in a data directory, or in the database and the bucket that stores share.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Deletes packages that no row references and temporary files that nobody owns; refused while a store runs on the data
    /// directory, which does this by itself
    Gc {
        /// Only says what would be deleted
        #[arg(long)]
        dry_run: bool,
    },
    /// Frees the bytes of deleted packages whose time to be restored is over; refused while a store runs on the data
    /// directory, which does this by itself
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
        /// Moves corrupt packages to quarantine and deletes orphaned ones; refused while a store runs on the data directory
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
    /// Shows which stores share the database, how each does, and how many uploads are in which state
    Replicas {
        /// One JSON object in a line for each, and one for the uploads
        #[arg(long)]
        json: bool,
    },
    /// Puts a backup into an empty data directory, or into an empty database and bucket for stores to share
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
    match command {
        Command::Gc { dry_run } => cleaning::gc(config, dry_run).await,
        Command::Health => Ok(health::health()),
        Command::Replicas { json } => replicas::replicas(config, json).await,
        Command::Events(arguments) => events::events(config, arguments).await,
        Command::Retention { command } => retention::retention(config, command).await,
        Command::Purge { dry_run } => cleaning::purge(config, dry_run).await,
        Command::Verify { repair, json } => verify::verify(config, repair, json).await,
        Command::Backup { dir } => copies::backup(config, &dir).await,
        Command::Restore { dir } => copies::restore(config, &dir).await,
    }
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
