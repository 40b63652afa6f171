//! Many uploads at once, and many small ones in a row: whether all are right, how long they take, and what the store
//! holds in memory meanwhile.
//!
//! `cargo xtask bench load` builds what is needed and says where it is. The store has its default limits: 64 uploads at
//! once, 32 from one host and 16 of one calling application, 256 that wait for 20 s at most. So the uploads come from four hosts,
//! and four applications call. Promises: every reply, every row and every kept byte is checked, and a wrong one ends the run
//! with an error, as does a store that held more than [`MOST_MEMORY_KIB`]. Asserts nothing about time: machines differ, and
//! a slow one is not broken.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{cpu_time, median, number, share};
use linkgate_tests::{Behaviour, Bulk, FakeSource, StoreProcess, unknown_formats_allowed};

/// Whatever comes at once.
const MOST_MEMORY_KIB: u64 = 128 << 10;
/// Hosts, and applications.
const PARTIES: usize = 4;
const SMALL_BYTES: u64 = 4 << 10;

/// Uploads that begin together.
struct Wave {
    name: &'static str,
    uploads: usize,
    bytes: u64,
    /// How long the sources rest before they begin with the body, and after each MiB of it.
    pause: Duration,
}

const WAVES: [Wave; 4] = [
    Wave { name: "200 × 1 MiB, fast sources", uploads: 200, bytes: 1 << 20, pause: Duration::ZERO },
    Wave { name: "200 × 1 MiB, slow sources", uploads: 200, bytes: 1 << 20, pause: Duration::from_millis(500) },
    Wave { name: "64 × 64 MiB, fast sources", uploads: 64, bytes: 64 << 20, pause: Duration::ZERO },
    Wave { name: "64 × 64 MiB, slow sources", uploads: 64, bytes: 64 << 20, pause: Duration::from_millis(250) },
];

/// A package that will be asked for.
struct Upload {
    url: String,
    application: String,
    version: String,
    sha256: String,
    bytes: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let sources = start_sources().await;
    println!(
        "{:<28}{:>8}{:>8}{:>10}{:>10}{:>10}{:>11}{:>10}",
        "uploads", "s", "MB/s", "median s", "p99 s", "last s", "CPU s/GiB", "peak MiB"
    );
    let mut most = 0;
    for wave in &WAVES {
        most = most.max(roll(wave, &sources).await);
    }
    one_after_the_other(&sources, usize::try_from(number("--small", 1_000)).unwrap().max(1)).await;
    assert!(most <= MOST_MEMORY_KIB, "the store held {most} KiB, {MOST_MEMORY_KIB} KiB are allowed");
}

/// Each at an address of its own, for a store counts by host, whatever the port.
async fn start_sources() -> Vec<FakeSource> {
    let mut sources = Vec::new();
    for number in 1..=PARTIES {
        sources.push(FakeSource::start_at(&format!("127.0.0.{number}:0"), Behaviour::Status(404)).await);
    }
    sources
}

fn prepare(sources: &[FakeSource], count: usize, bytes: u64, pause: Duration) -> Vec<Upload> {
    let one = |number: usize| {
        let (bulk, source) = (Bulk::opaque(bytes, number as u64), &sources[number % PARTIES]);
        let path = format!("/{number}.bin");
        source.on(&path, bulk.served(pause));
        Upload {
            url: source.url_of(&path),
            application: format!("app-{}", number / PARTIES % PARTIES),
            version: format!("1.0.{number}"),
            sha256: bulk.sha256(),
            bytes,
        }
    };
    (0..count).map(one).collect()
}

fn start_store(sources: &[FakeSource], dir: &Path) -> StoreProcess {
    let hosts = sources.iter().map(FakeSource::host).collect::<Vec<_>>().join(",");
    StoreProcess::start(
        dir,
        &[
            ("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.as_str()),
            ("LINKGATE_FETCH_PRIVATE_HOSTS", &hosts),
            unknown_formats_allowed("what is measured is the transfer, without the inspection"),
        ],
    )
}

/// Sends an upload, holds the reply against it and says how long it took.
async fn send(store: &StoreProcess, upload: &Upload) -> Duration {
    let request = store.request(&upload.url).module(&upload.application, "default").version(&upload.version);
    let request = request.token(Some(store.mint().token_of(&upload.application)));
    let begun = Instant::now();
    let reply = request.send(store.base()).await;
    let took = begun.elapsed();
    assert_eq!(reply.status, 200, "{}: {reply:?}", upload.url);
    let package = reply.json();
    assert_eq!(package["sha256_signature"], upload.sha256, "{}", upload.url);
    assert_eq!(package["package_size"], upload.bytes.to_string(), "{}", upload.url);
    took
}

/// Sends all at once to a store of their own, prints a line and gives what it held at most, in KiB.
async fn roll(wave: &Wave, sources: &[FakeSource]) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let uploads = prepare(sources, wave.uploads, wave.bytes, wave.pause);
    let store = start_store(sources, dir.path());
    let (begun, before) = (Instant::now(), cpu_time(store.pid()));
    let times = join_all(uploads.iter().map(|upload| send(&store, upload))).await;
    let (took, cpu) = (begun.elapsed(), cpu_time(store.pid()) - before);
    let peak = store.peak_memory_kib();
    check(&store, &uploads).await;
    let bytes = (wave.bytes * wave.uploads as u64) as f64;
    let seconds = |share: Duration| share.as_secs_f64();
    Chart::new("waves", "What uploads that begin together take, median and half of them", "s")
        .ours(wave.name, times.iter().copied().map(seconds));
    println!(
        "{:<28}{:>8.2}{:>8.0}{:>10.2}{:>10.2}{:>10.2}{:>11.2}{:>10.1}",
        wave.name,
        seconds(took),
        bytes / 1e6 / seconds(took),
        seconds(median(times.iter().copied())),
        seconds(share(times.iter().copied(), 990)),
        seconds(share(times, 1_000)),
        seconds(cpu) * f64::from(1 << 30) / bytes,
        peak as f64 / 1024.0,
    );
    peak
}

/// A row for every upload, and its bytes under its hash; nothing else.
async fn check(store: &StoreProcess, uploads: &[Upload]) {
    let mut expected: Vec<_> =
        uploads.iter().map(|u| (u.application.clone(), u.version.clone(), u.sha256.clone())).collect();
    let mut hashes: Vec<_> = expected.iter().map(|(_, _, sha256)| sha256.clone()).collect();
    hashes.sort();
    assert_eq!(store.stored_files(), hashes, "what is kept");
    let rows = store.rows().await.into_iter();
    let mut rows: Vec<_> = rows.map(|row| (row.app_code, row.version, row.sha256)).collect();
    expected.sort();
    rows.sort();
    assert_eq!(rows, expected, "what is recorded");
}

/// What one caller gets who waits for each upload before the next, beside what the disk gives to whoever makes small files
/// durable in the plainest way.
async fn one_after_the_other(sources: &[FakeSource], count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let uploads = prepare(sources, count, SMALL_BYTES, Duration::ZERO);
    let store = start_store(sources, dir.path());
    let (begun, before) = (Instant::now(), cpu_time(store.pid()));
    let mut times = Vec::new();
    for upload in &uploads {
        times.push(send(&store, upload).await);
    }
    let (stored, cpu) = (count as f64 / begun.elapsed().as_secs_f64(), cpu_time(store.pid()) - before);
    check(&store, &uploads).await;
    let plain = count as f64 / make_durable(dir.path(), count).as_secs_f64();
    println!("{count} × 4 KiB, one after the other: {stored:.0} packages in a second, each durable and recorded");
    println!(
        "  median {:.1} ms, p99 {:.1} ms, CPU {:.2} ms for each",
        median(times.iter().copied()).as_secs_f64() * 1e3,
        share(times, 990).as_secs_f64() * 1e3,
        cpu.as_secs_f64() * 1e3 / count as f64,
    );
    println!(
        "  this disk: {plain:.0} in a second of write, fsync, rename, fsync of the directory: {:.2} ×",
        plain / stored
    );
}

fn make_durable(dir: &Path, count: usize) -> Duration {
    let place = dir.join("plain");
    fs::create_dir(&place).unwrap();
    let (directory, bytes) = (File::open(&place).unwrap(), linkgate_tests::bytes(SMALL_BYTES as usize));
    let begun = Instant::now();
    for number in 0..count {
        let (temporary, target) = (place.join("temporary"), place.join(number.to_string()));
        let mut file = File::create(&temporary).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        fs::rename(temporary, target).unwrap();
        directory.sync_all().unwrap();
    }
    begun.elapsed()
}
