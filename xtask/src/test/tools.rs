//! Programs of others with which tests try things. Root on Debian gets those that are missing; elsewhere they are there or
//! not, and the tests that need them say so.
//!
//! Promises: what is added starts no service.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::run::probe;

/// Programs, and the packages that have them.
const TOOLS: [(&str, &str); 23] = [
    ("7z", "p7zip-full"),
    ("aria2c", "aria2"),
    ("automake", "automake"),
    ("bsdtar", "libarchive-tools"),
    ("bzip2", "bzip2"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("faketime", "faketime"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("pbzip2", "pbzip2"),
    ("pg_ctlcluster", "postgresql"),
    ("pgbouncer", "pgbouncer"),
    ("pigz", "pigz"),
    ("promtool", "prometheus"),
    ("tinyproxy", "tinyproxy-bin"),
    ("unzip", "unzip"),
    ("wget", "wget"),
    ("xz", "xz-utils"),
    ("zip", "zip"),
    ("zstd", "zstd"),
];

/// Whoever installs a package asks this program whether its service may start.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const START_NOTHING: &[u8] = b"#!/bin/sh\nexit 101\n";

/// Adds what tests need and is missing, and says what still is.
pub fn add_missing() {
    add(&TOOLS);
    for (tool, package) in missing(&TOOLS) {
        println!("{tool} is missing (Debian: {package}): the tests that need it say so and pass");
    }
}

/// Adds what is missing of these, where root may.
pub fn add(tools: &[(&str, &str)]) {
    let missing = missing(tools);
    if !missing.is_empty() && geteuid().is_root() && has_program("apt-get") {
        let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        println!("adding {}", packages.join(", "));
        let _policy = NoServices::begin();
        // Without its lists a new machine knows no package.
        let _tried = run_quietly("apt-get", &["update", "-qq"]);
        let _tried =
            run_quietly("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], &packages[..]].concat());
    }
}

fn missing<'t>(tools: &[(&'t str, &'t str)]) -> Vec<(&'t str, &'t str)> {
    tools.iter().copied().filter(|(tool, _)| !has_program(tool)).collect()
}

/// Whether there is a program of this name.
pub fn has_program(name: &str) -> bool {
    probe("sh", &["-c", &format!("command -v {name}")]).is_some()
}

fn run_quietly(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// As long as it lives, no service starts that is installed. A rule that the machine has already, stays.
struct NoServices {
    is_ours: bool,
}

impl NoServices {
    fn begin() -> Self {
        let rule = OpenOptions::new().write(true).create_new(true).mode(0o755).open(Path::new(POLICY));
        Self { is_ours: rule.and_then(|mut rule| rule.write_all(START_NOTHING)).is_ok() }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            let _gone = fs::remove_file(POLICY);
        }
    }
}
