//! `xtask demo …`: what the containers of the compose file's demo do.
//!
//! Promises: needs neither cargo nor a workspace, only the files that its arguments name.

mod share;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::error::{Failure, Outcome, Trying};
use crate::http;
use crate::signals::exit_on_signals;
use crate::up::{demo, sample};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What there is to do.
#[derive(Subcommand)]
pub enum Demo {
    /// Make credentials, and a policy that knows them
    Prepare {
        /// Where to put them
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// The policy to begin with
        #[arg(long, value_name = "FILE")]
        policy: PathBuf,
        /// Where the sample will be, `host:port`
        #[arg(long)]
        host: String,
    },
    /// Make what stores show the database and the bucket that they share, and what they seal with
    Share {
        /// The folder with the folders `database`, `bucket` and `store`
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Where the database is
        #[arg(long, value_name = "HOST")]
        database: String,
        /// The bucket's name
        #[arg(long)]
        bucket: String,
    },
    /// Serve the sample package
    Serve {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: String,
        /// The package
        #[arg(long, value_name = "FILE")]
        package: PathBuf,
    },
    /// End with 0 if this path at this `host:port` is answered with 200
    Get {
        /// Whom to ask
        host: String,
        /// For what
        path: String,
    },
}

/// Does it.
pub fn demo(demo: &Demo) -> Outcome<()> {
    match demo {
        Demo::Prepare { to, policy, host } => demo::prepare_policy(to, policy, host),
        Demo::Share { to, database, bucket } => share::prepare_shared(to, database, bucket),
        Demo::Serve { listen, package } => {
            exit_on_signals(0)?;
            let listener = TcpListener::bind(listen).trying(|| format!("listen on {listen}"))?;
            let package = std::fs::read(package).trying(|| format!("read {}", package.display()))?;
            sample::serve(&listener, &package, None);
            Ok(())
        }
        Demo::Get { host, path } => get(host, path),
    }
}

fn get(host: &str, path: &str) -> Outcome<()> {
    match http::get_status(host, path, TIMEOUT)? {
        200 => Ok(()),
        status => Err(Failure::new(format!("{host} answers HTTP/1.1 {status}"))),
    }
}
