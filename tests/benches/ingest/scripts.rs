//! What one would do without the store.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use linkgate_tests::measure::time_in_shell;

use crate::Package;
use crate::report::Measured;

/// Lines of a shell that take a package in and print its hash, or fail if it is not `$3`: `$1` is the link, `$2` the file.
pub struct Script {
    pub name: &'static str,
    /// Commands that succeed where it can run.
    needs: &'static [&'static str],
    text: &'static str,
}

/// The way that BlueKing's platform takes a package in by itself: `requests` in small pieces to a file, which is then read again
/// for its hash.
const REFERENCE: &str = r#"python3 -c '
import hashlib, sys, requests
with requests.get(sys.argv[1], stream=True) as source, open(sys.argv[2], "wb") as file:
    for piece in source.iter_content(512):
        file.write(piece)
digest = hashlib.sha256()
with open(sys.argv[2], "rb") as file:
    while block := file.read(4096):
        digest.update(block)
print(digest.hexdigest())
' "$1" "$2""#;

/// The fastest that a shell offers.
pub const PIPELINE: &str = "curl | tee | openssl sha256";

pub static ALL: [Script; 4] = [
    Script {
        name: PIPELINE,
        needs: &["command -v curl", "command -v openssl"],
        text: "curl -sf \"$1\" | tee \"$2\" | openssl sha256",
    },
    Script {
        name: "curl, then sha256sum",
        needs: &["command -v curl", "command -v sha256sum"],
        text: "curl -sf -o \"$2\" \"$1\" && sha256sum \"$2\"",
    },
    Script {
        name: "aria2c --checksum",
        needs: &["command -v aria2c"],
        // It fails if the hash is another one. Space is not reserved beforehand, which would only cost it time.
        text: "aria2c -q --no-conf --file-allocation=none --checksum=sha-256=\"$3\" ${SSL_CERT_FILE:+--ca-certificate=\"$SSL_CERT_FILE\"} -d / -o \"$2\" \"$1\" && echo \"$3\"",
    },
    Script { name: "requests, 512 B, then 4 KiB", needs: &["python3 -c 'import requests'"], text: REFERENCE },
];

impl Script {
    /// A command that it needs to succeed and that does not.
    pub fn missing(&self) -> Option<&'static str> {
        let lacks = |command: &&&str| {
            !Command::new("sh").args(["-c", command]).output().is_ok_and(|output| output.status.success())
        };
        self.needs.iter().find(lacks).copied()
    }

    pub async fn run(&'static self, root: &Path, syncs: bool, package: &Package) -> Measured {
        let dir = tempfile::tempdir_in(root).unwrap();
        let file = dir.path().join("package").display().to_string();
        let sync = if syncs { "sync \"$2\"" } else { ":" };
        // The last line is the time that all programs used.
        let text = format!("set -e\n{}\n{sync}\ntimes", self.text);
        let arguments = [package.url(), file, package.sha256.clone()];
        let trust = package.trust();
        // The source runs in this process: waiting must not hold its thread.
        let run = move || {
            let mut command = Command::new("sh");
            for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
                command.env_remove(proxy);
            }
            command.envs(trust);
            let begun = Instant::now();
            let output = command.args(["-c", &text, "sh"]).args(arguments).output().unwrap();
            (begun.elapsed(), output)
        };
        let (took, output) = tokio::task::spawn_blocking(run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(&package.sha256), "{}: other bytes: {output:?}", self.name);
        let cpu = said.lines().last().unwrap().split_whitespace().map(time_in_shell).sum();
        Measured { took, cpu, peak_kib: None }
    }
}
