//! Where things are: asked of cargo, so a target folder elsewhere is respected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::{Failure, Outcome, Trying};
use crate::run::{capture, run};

/// The workspace as cargo sees it.
#[derive(Deserialize)]
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where cargo builds.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    /// Our crates.
    pub packages: Vec<Package>,
}

/// One of our crates.
#[derive(Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, which is that of all of ours.
    pub version: String,
    /// What its manifest asks for.
    pub dependencies: Vec<Dependency>,
}

/// A line of a manifest.
#[derive(Deserialize)]
pub struct Dependency {
    /// The crate.
    pub name: String,
    /// `dev` or `build`, or nothing for what goes into the crate itself.
    kind: Option<String>,
}

impl Dependency {
    /// Whether only tests are built with it.
    pub fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// How a program of ours is built.
#[derive(Clone, Copy)]
pub enum Profile {
    /// Quickly.
    Dev,
    /// To be fast.
    Release,
}

impl Workspace {
    /// Asks cargo about the folder that we are in.
    pub fn find() -> Outcome<Self> {
        Self::find_at(Path::new("."))
    }

    /// Asks cargo about this folder.
    pub fn find_at(folder: &Path) -> Outcome<Self> {
        let text = capture(cargo().current_dir(folder).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&text).trying(|| "read what `cargo metadata` printed".to_owned())
    }

    /// A cargo command in the root folder.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// `cargo build` for another kind of machine, of which the same sources give the same bytes in any folder, at any time.
    pub fn cargo_build_for(&self, target: &str) -> Command {
        let folders = self.folders();
        let flags = |flag: &str, between: &str| {
            folders.each_ref().map(|(from, to)| format!("{flag}={}={to}", from.display())).join(between)
        };
        let mut command = self.cargo();
        command.args(["build", "--target", target]);
        // Parted by a character that is in no path.
        command.env("CARGO_ENCODED_RUSTFLAGS", flags("--remap-path-prefix", "\u{1f}"));
        command.env(format!("CFLAGS_{}", target.replace('-', "_")), flags("-ffile-prefix-map", " "));
        // What C programs say of when they were compiled; mimalloc does.
        if std::env::var_os("SOURCE_DATE_EPOCH").is_none() {
            command.env("SOURCE_DATE_EPOCH", "0");
        }
        command
    }

    /// The folders that sources come from on this machine, and what stands for them in what is shipped.
    pub fn folders(&self) -> [(PathBuf, &'static str); 2] {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
        [(self.root.clone(), "/linkgate"), (home, "/cargo")]
    }

    /// Builds programs of ours and returns the folder that they are in.
    pub fn build(&self, profile: Profile, packages: &[&str]) -> Outcome<PathBuf> {
        let mut command = self.cargo();
        command.arg("build").args(packages.iter().flat_map(|package| ["-p", package]));
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => {
                command.arg("--release");
                "release"
            }
        };
        run(&mut command)?;
        Ok(self.target.join(folder))
    }

    /// Builds the store twice: as it is shipped, and in a folder beside it one that kills itself at a named step. Returns
    /// the folder that the first one is in.
    pub fn build_stores(&self) -> Outcome<PathBuf> {
        run(self.cargo().args(["build", "-p", "linkgate-store", "--features", "failpoints,test-endpoint"]))?;
        let bin = self.target.join("debug");
        let beside = bin.join("failpoints");
        fs::create_dir_all(&beside).trying(|| format!("make {}", beside.display()))?;
        // Under its name only then: one of an earlier run may be running still, and a program that runs takes no other bytes.
        let copy = beside.join("linkgate-store.new");
        fs::copy(bin.join("linkgate-store"), &copy).trying(|| "copy the store".to_owned())?;
        fs::rename(&copy, beside.join("linkgate-store"))
            .trying(|| "put the copy of the store in its place".to_owned())?;
        // Last, so that the other one is not left where this one belongs.
        self.build(Profile::Dev, &["linkgate-store"])
    }

    /// Adds a target to the toolchain in use if it is not there.
    pub fn need_target(&self, target: &str) -> Outcome<()> {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.current_dir(&self.root).args(["--print", "target-libdir", "--target", target]);
        if PathBuf::from(capture(&mut rustc)?.trim()).is_dir() {
            return Ok(());
        }
        run(Command::new("rustup").current_dir(&self.root).args(["target", "add", target])).map_err(|failure| {
            Failure::new(format!("the Rust target {target} is missing and could not be added: {failure}"))
        })
    }

    /// Paths from the root: what git tracks, and what it would take up.
    pub fn list_files(&self) -> Outcome<Vec<String>> {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        Ok(capture(&mut git)?.lines().filter(|path| self.path(path).is_file()).map(str::to_owned).collect())
    }

    /// A path from the root.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }
}

/// The root folder, for tests.
#[cfg(test)]
pub fn root_of_tests() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
