//! How fast a package gets in: the store, alone and behind Envoy, beside what else one would do, from the same source, in
//! turns.
//!
//! `cargo xtask bench ingest` builds what is needed and says where it is; `--mib`, `--rounds`, `--small`. Two places: memory
//! (`/dev/shm`), where nothing but the way of the bytes counts, and the disk, where everybody syncs what was written. Two
//! packages: a file that is no archive, over http and over https, and a tar.gz whose inside the store looks at. Envoy
//! speaks in clear, TLS 1.3 to callers, and TLS to the store as well; what that costs an upload shows with small packages.
//! Promises: every transfer's hash is checked, and a wrong one ends the run with an error; what cannot be measured here is
//! named. Asserts nothing about time: machines differ, and a slow one is not broken.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

mod minimum;
mod report;
mod scripts;
mod small;
mod stores;

use std::path::PathBuf;
use std::time::Duration;

use linkgate_tests::measure::{memory_dir, number};
use linkgate_tests::{Authority, Bulk, Certificates, Channel, FakeSource, Manner, Shown, TlsFront};

use crate::minimum::Threads;
use crate::report::{Measured, Row};
use crate::scripts::Script;
use crate::stores::Served;

/// What is taken in.
struct Package {
    name: &'static str,
    bytes: u64,
    sha256: String,
    source: FakeSource,
    tls: Option<(Authority, TlsFront)>,
}

impl Package {
    async fn new(name: &'static str, bulk: Bulk) -> Self {
        let source = FakeSource::start(bulk.served(Duration::ZERO)).await;
        Self { name, bytes: bulk.size(), sha256: bulk.sha256(), source, tls: None }
    }

    /// The same over https.
    async fn over_tls(name: &'static str, bulk: Bulk) -> Self {
        let (package, authority) = (Self::new(name, bulk).await, Authority::new());
        let front = TlsFront::before(&package.source, &authority, Manner::Serves(Shown::Good, &["http/1.1"])).await;
        Self { tls: Some((authority, front)), ..package }
    }

    fn url(&self) -> String {
        self.tls.as_ref().map_or_else(|| self.source.url(), |(_, front)| front.url())
    }

    fn host(&self) -> String {
        self.tls.as_ref().map_or_else(|| self.source.host(), |(_, front)| front.host())
    }

    /// Variables by which programs learn whom to trust.
    fn trust(&self) -> Vec<(&'static str, String)> {
        let Some(file) = self.authority_file() else { return Vec::new() };
        ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"].map(|name| (name, file.clone())).into()
    }

    fn authority_file(&self) -> Option<String> {
        self.tls.as_ref().map(|(authority, _)| authority.file().display().to_string())
    }
}

/// Where it goes.
struct Place {
    name: &'static str,
    root: PathBuf,
    /// Whether what was written is synced, which means nothing in memory.
    syncs: bool,
}

/// How it gets there.
#[derive(Clone, Copy)]
enum Way {
    Store,
    Gateway(Channel),
    Minimum(Threads),
    Script(&'static Script),
}

impl Way {
    /// The store first: the others are held against it.
    fn all() -> Vec<Self> {
        let mut ways = vec![Self::Store];
        ways.extend(Channel::ALL.map(Self::Gateway));
        ways.extend([Threads::One, Threads::Two].map(Self::Minimum));
        for script in &scripts::ALL {
            match script.missing() {
                None => ways.push(Self::Script(script)),
                Some(command) => println!("NOT MEASURED: {}, because `{command}` fails", script.name),
            }
        }
        ways
    }

    fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Gateway(channel) => behind_envoy(channel),
            Self::Minimum(threads) => threads.name(),
            Self::Script(script) => script.name,
        }
    }

    async fn take_in(self, place: &Place, package: &Package, certificates: &Certificates) -> Measured {
        let (root, syncs) = (&place.root, place.syncs);
        match self {
            Self::Store => Served::alone(root, package).measure(package).await,
            Self::Gateway(channel) => {
                Served::behind_envoy(root, package, certificates, channel).await.measure(package).await
            }
            Self::Minimum(threads) => threads.take_in(root, syncs, package).await,
            Self::Script(script) => script.run(root, syncs, package).await,
        }
    }
}

/// The store with Envoy before it, in a table.
fn behind_envoy(channel: Channel) -> &'static str {
    match channel {
        Channel::Plain => "store behind Envoy",
        Channel::Tls => "store behind Envoy, TLS",
        Channel::Mutual => "store behind Envoy, TLS+mTLS",
    }
}

fn main() {
    if minimum::run_if_asked() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads").block_on(measure_all());
}

async fn measure_all() {
    let mib = number("--mib", 1_024);
    let rounds = number("--rounds", 5).max(1);
    let files = u32::try_from(mib).expect("--mib is smaller");
    let opaque = || Bulk::opaque(mib << 20, 0);
    let packages = [
        Package::new("opaque", opaque()).await,
        Package::new("tar.gz", Bulk::tar_gz(files)).await,
        Package::over_tls("https", opaque()).await,
    ];
    // The largest that is there at once: a file, and what is written beside it.
    let memory = Place { name: "memory", root: memory_dir(2 * (mib << 20)), syncs: false };
    let disk = Place { name: "disk", root: std::env::temp_dir(), syncs: true };
    let (ways, certificates) = (Way::all(), Certificates::new());
    println!("{mib} MiB, {rounds} rounds in turns, medians; × is the store's speed over theirs");
    report::print_head();
    for place in [&memory, &disk] {
        for package in &packages {
            let rows = measure(place, package, (&ways, &certificates), rounds).await;
            report::print(place, package, &rows);
            report::print_targets(place, package, &rows);
            report::draw(place, package, &rows);
        }
    }
    small::measure(&memory.root, &certificates, number("--small", 1_000).max(1)).await;
}

async fn measure(
    place: &Place,
    package: &Package,
    (ways, certificates): (&[Way], &Certificates),
    rounds: u64,
) -> Vec<Row> {
    let mut rows: Vec<Row> = ways.iter().map(|way| Row::new(way.name())).collect();
    // One round first that does not count: whoever runs first would pay for pages that nobody has touched yet.
    for round in 0..=rounds {
        for (way, row) in ways.iter().zip(&mut rows) {
            let measured = way.take_in(place, package, certificates).await;
            if round > 0 {
                row.rounds.push(measured);
            }
        }
    }
    rows
}
