//! How fast a package gets in: the store beside `curl | tee | openssl sha256`, from the same source, in turns.
//!
//! `cargo bench -p linkgate-tests --bench ingest -- --mib 1024`, with `LINKGATE_BIN_DIR` naming the directory of a
//! release build. Two places: memory (`/dev/shm`), where nothing but the pipeline counts, and the disk, where both sides
//! sync what they wrote. Promises: every transfer is checked, and a wrong hash ends the run with an error. Asserts nothing
//! about time: machines differ, and a slow one is not broken.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use linkgate_tests::source::generated_sha256;
use linkgate_tests::{Behaviour, FakeSource, StoreProcess};

const ROUNDS: usize = 5;

/// What one round took.
struct Round {
    store: Duration,
    pipeline: Duration,
    peak_memory_kib: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let mib = wanted_mib();
    let bytes = mib << 20;
    let source = FakeSource::start(Behaviour::Generated(bytes)).await;
    let sha256 = generated_sha256(bytes);
    println!("{mib} MiB, {ROUNDS} rounds, medians; pipeline: curl -s | tee | openssl sha256");
    println!("{:<10}{:>14}{:>16}{:>9}{:>16}", "place", "store MB/s", "pipeline MB/s", "ratio", "store peak MiB");
    for (place, root, sync) in [("memory", memory_dir(bytes), false), ("disk", std::env::temp_dir(), true)] {
        let mut rounds = Vec::new();
        // One round first that does not count: whoever runs first would pay for pages that nobody has touched yet.
        for round in 0..=ROUNDS {
            let (store, peak_memory_kib) = time_store(&root, &source, bytes, &sha256).await;
            let pipeline = time_pipeline(&root, &source, sync, &sha256).await;
            if round > 0 {
                rounds.push(Round { store, pipeline, peak_memory_kib });
            }
        }
        print_row(place, bytes, &rounds);
    }
}

fn print_row(place: &str, bytes: u64, rounds: &[Round]) {
    let speed = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    let store = speed(median(rounds.iter().map(|r| r.store).collect()));
    let pipeline = speed(median(rounds.iter().map(|r| r.pipeline).collect()));
    let peak = rounds.iter().map(|r| r.peak_memory_kib).max().unwrap_or_default() as f64 / 1024.0;
    println!("{place:<10}{store:>14.0}{pipeline:>16.0}{:>9.2}{peak:>16.1}", store / pipeline);
}

/// `--mib N`, else `LINKGATE_BENCH_MIB`, else 1024.
fn wanted_mib() -> u64 {
    let args: Vec<String> = std::env::args().collect();
    let flag = args.iter().position(|arg| arg == "--mib").and_then(|at| args.get(at + 1).cloned());
    let var = || std::env::var_os("LINKGATE_BENCH_MIB").and_then(|value| value.into_string().ok());
    flag.or_else(var).map_or(1024, |text| text.parse().expect("--mib takes a number"))
}

/// `/dev/shm` if a package and a copy of it fit; containers often have 64 MiB there.
fn memory_dir(bytes: u64) -> PathBuf {
    let free = Command::new("df").args(["--output=avail", "-B1", "/dev/shm"]).output().ok();
    let free = free.and_then(|o| String::from_utf8(o.stdout).ok()?.lines().nth(1)?.trim().parse::<u64>().ok());
    if free.is_some_and(|free| free > 2 * bytes) {
        return "/dev/shm".into();
    }
    println!("(/dev/shm has no room: \"memory\" is {} as well)", std::env::temp_dir().display());
    std::env::temp_dir()
}

/// A fresh store for each round, so that nothing is there already and the peak is this round's.
async fn time_store(root: &Path, source: &FakeSource, bytes: u64, sha256: &str) -> (Duration, u64) {
    let dir = tempfile::tempdir_in(root).unwrap();
    let (host, limit) = (source.host(), bytes.to_string());
    let settings = [
        ("LINKGATE_FETCH_ALLOWED_HOSTS", host.as_str()),
        ("LINKGATE_FETCH_PRIVATE_HOSTS", &host),
        ("LINKGATE_FETCH_MAX_BYTES", &limit),
    ];
    let store = StoreProcess::start(dir.path(), &settings);
    let begun = Instant::now();
    let reply = store.request(source.url()).send(store.base()).await;
    let took = begun.elapsed();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["sha256_signature"], sha256, "the store got other bytes");
    assert_eq!(reply.json()["package_size"], limit);
    (took, store.peak_memory_kib())
}

async fn time_pipeline(root: &Path, source: &FakeSource, sync: bool, sha256: &str) -> Duration {
    let dir = tempfile::tempdir_in(root).unwrap();
    let file = dir.path().join("package").display().to_string();
    let then = if sync { "&& sync \"$2\"" } else { "" };
    let script = format!("curl -s --noproxy '*' \"$1\" | tee \"$2\" | openssl sha256 {then}");
    let begun = Instant::now();
    // The source runs in this process: waiting must not hold its thread.
    let url = source.url();
    let run = move || Command::new("sh").args(["-c", &script, "pipeline", &url, &file]).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let took = begun.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains(sha256), "the pipeline got other bytes: {text}");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
