//! Runs the built `linkgate` in a folder of its own.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What a run left behind.
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A folder with a good policy in it, in which `linkgate` runs.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        sandbox.write("policy.yaml", &good_policy());
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn create_folder(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
    }

    /// Every file with its content, to see that nothing changed.
    pub fn read_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.folder.path(), &mut found);
        found
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        self.run_with(args, &[], b"")
    }

    pub fn run_with(&self, args: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Outcome {
        let mut child = Command::new(env!("CARGO_BIN_EXE_linkgate"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes the pipe; that is its right.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

pub fn sha256_hex(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Taken as it stands; tests change one thing. The app's secret is `s3cret`, the user's ticket `t1cket`.
pub fn good_policy() -> String {
    format!(
        r#"# The policy of a test.
version: 1
gateway: linkgate
routes: {{ prefixes: ["", "/stag", "/prod"] }}
limits: {{ body_bytes: 65536, uri_bytes: 8192 }}
packages: {{ allowed_hosts: ["example.com", "127.0.0.1:8090"] }}
clients:
  - app_code: apigw-api-test
    secret_sha256: ["{}"]
users:
  - username: admin
    bk_token_sha256: []
    bk_ticket_sha256: ["{}"]
grants:
  - {{ name: all, callers: ["*"], targets: ["*"] }}
"#,
        sha256_hex("s3cret"),
        sha256_hex("t1cket")
    )
}
