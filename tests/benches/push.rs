//! How fast `linkgate push` sends files, beside curl, through the same Envoy to the same store, in turns: one large file, and many
//! small ones of one module.
//!
//! `cargo xtask bench push` builds what is needed and says where it is; `--mib`, `--files`, `--rounds`. Promises: what was sent is
//! asked for and its digest compared, and a wrong one ends the run with an error. Asserts nothing about time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that cannot run says so by failing"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use linkgate_tests::figures::Chart;
use linkgate_tests::gateway::APP;
use linkgate_tests::measure::{median, number};
use linkgate_tests::process::binary;
use linkgate_tests::{WholeStack, package_of_size, sha256_hex};

/// The bytes of a small file.
const SMALL: usize = 10_000;

fn main() {
    let (mib, files, rounds) = (number("--mib", 1_024), number("--files", 200), number("--rounds", 5).max(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads").block_on(measure(mib << 20, files, rounds));
}

async fn measure(bytes: u64, files: u64, rounds: u64) {
    println!("{} MiB, {files} files of {SMALL} bytes, {rounds} rounds in turns, medians\n", bytes >> 20);
    println!("| what | linkgate push, s | curl, s | × |\n|---|---|---|---|");
    let desk = Desk::start(bytes).await;
    let large = [desk.write("large.tar.gz", usize::try_from(bytes).expect("a file that fits"))];
    // Each has bytes of its own: what is stored already is not stored again.
    let small: Vec<_> =
        (SMALL..).take(files as usize).map(|size| desk.write(&format!("small-{size}.tar.gz"), size)).collect();
    for (what, files) in [("one large file", &large[..]), ("small files", &small)] {
        let (mut pushed, mut curled) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            pushed.push(desk.time(|desk| desk.push(files)).as_secs_f64());
            curled.push(desk.time(|desk| desk.curl(files)).as_secs_f64());
        }
        let chart = Chart::new(what.replace(' ', "-"), format!("How long it takes to send: {what}"), "s");
        chart.ours("linkgate push", pushed.iter().copied());
        chart.peer("curl", curled.iter().copied());
        let (pushed, curled) = (median(pushed), median(curled));
        println!("| {what} | {pushed:.2} | {curled:.2} | {:.2} |", curled / pushed);
    }
}

/// A gateway and a store, and files to send.
struct Desk {
    stack: WholeStack,
    folder: tempfile::TempDir,
}

impl Desk {
    /// For files up to this size.
    async fn start(bytes: u64) -> Self {
        let limit = bytes.to_string();
        let stack = WholeStack::with(&[("LINKGATE_FETCH_MAX_BYTES", &limit)]).await;
        Self { stack, folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, size: usize) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, package_of_size(size)).unwrap();
        path
    }

    fn time(&self, send: impl FnOnce(&Self)) -> Duration {
        let begun = Instant::now();
        tokio::task::block_in_place(|| send(self));
        begun.elapsed()
    }

    fn push(&self, files: &[PathBuf]) {
        let credentials = self.stack.gateway().credentials();
        let mut command = Command::new(binary("linkgate"));
        command.args(["push", "--overwrite", "--version-from-name", "--quiet", "--app", "app_code"]).args(files);
        command.env("LINKGATE_GATEWAY_URL", format!("{}/stag", self.stack.base())).env("LINKGATE_APP_CODE", APP);
        command.env("LINKGATE_APP_SECRET", &credentials.secret).env("LINKGATE_BK_TICKET", &credentials.ticket);
        finish(&mut command);
    }

    /// As a shell would, one after the other.
    fn curl(&self, files: &[PathBuf]) {
        let header = format!("X-Bkapi-Authorization: {}", self.stack.gateway().credentials().header());
        for file in files {
            let place = format!(
                "{}/stag/bkapps/applications/app_code/modules/default/source_package/upload/{}?version={}&allow_overwrite=true",
                self.stack.base(),
                file.file_name().unwrap().to_string_lossy(),
                version_of(file)
            );
            let output = finish(Command::new("curl").args(["-sSf", "-H", &header, "-T"]).arg(file).arg(place));
            let reply: serde_json::Value = serde_json::from_slice(&output).unwrap();
            assert_eq!(reply["sha256_signature"], sha256_hex(&fs::read(file).unwrap()), "{reply}");
        }
    }
}

/// Its name without what tells the format.
fn version_of(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().trim_end_matches(".tar.gz").to_owned()
}

fn finish(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
