//! `cargo xtask dist`: a release as it is handed out: an archive, a Debian package, and the filter for registries.
//!
//! Promises: the same commit gives the same bytes, in whatever folder and whenever, by the same compilers; completions and
//! pages of the manual are made by the very program that lies beside them. Replaces what an earlier run left.

mod deb;
mod licences;
mod oci;
mod tree;
mod twice;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{Outcome, Trying};
use crate::images::sbom::{self, LinkedCrate};
use crate::images::{Programs as BuiltPrograms, files::remove_folder};
use crate::programs::Programs;
use crate::release::Release;
use crate::run::capture;
use crate::wasm;
use crate::workspace::Workspace;
use tree::{PLAIN, PROGRAM, Tree, sum_line};

/// What is handed out, and where to.
#[derive(Args)]
// Other commands have options of their own beside these.
#[group(skip)]
pub struct Options {
    /// The folder to write to [default: target/dist]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Build the programs to be tried out: in half the time, and slower
    #[arg(long)]
    pub quick: bool,
}

/// Flags of `dist`.
#[derive(Args)]
pub struct DistOptions {
    #[command(flatten)]
    dist: Options,
    /// Build the same commit in a second folder, too, and fail if a byte differs
    #[arg(long)]
    check: bool,
}

impl Options {
    /// The folder.
    pub fn folder(&self, workspace: &Workspace) -> PathBuf {
        self.to.clone().unwrap_or_else(|| workspace.target.join("dist"))
    }
}

/// Shells, and how each names its file of completions.
const SHELLS: [(&str, &str); 3] = [("bash", "linkgate"), ("zsh", "_linkgate"), ("fish", "linkgate.fish")];
/// What is handed out of the sources as it is.
const FILES: [&str; 6] = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "envoy.yaml", "policy.yaml"];
const FOLDERS: [&str; 5] = ["deploy/grafana", "deploy/kubernetes", "deploy/prometheus", "deploy/systemd", "docs"];
/// Our crates that end up in what is handed out, and for which kind of machine.
pub const CRATES: [(&str, Option<&str>); 3] =
    [("linkgate-store", None), ("linkgate-cli", None), ("linkgate-filter", Some(wasm::TARGET))];
const SUMS: &str = "SHA256SUMS";

/// Everything of a release, as it lies in the archive.
pub struct Contents {
    /// Which one.
    pub release: Release,
    /// The files.
    tree: Tree,
}

/// Builds a release and packs it, and with `--check` once more elsewhere.
pub fn dist(workspace: &Workspace, options: &DistOptions) -> Outcome<()> {
    let DistOptions { dist, check } = options;
    let folder = dist.folder(workspace);
    if *check {
        let files = twice::build_twice(workspace, dist.quick, &folder)?;
        println!("ok: {files} files are the same, built in two folders");
    } else {
        print!("{}", Contents::build(workspace, dist.quick)?.pack(workspace, &folder)?);
    }
    println!("{}", folder.display());
    Ok(())
}

impl Contents {
    /// Builds the programs and collects what goes with them.
    pub fn build(workspace: &Workspace, quick: bool) -> Outcome<Self> {
        let release = Release::find(workspace)?;
        let programs = BuiltPrograms::build(workspace, quick)?;
        let mut tree = Tree::default();
        for name in ["linkgate", "linkgate-store"] {
            tree.copy(format!("bin/{name}"), PROGRAM, &programs.path(name))?;
        }
        tree.copy(format!("share/{}", wasm::FILE), PLAIN, programs.filter())?;
        for path in FILES.iter().filter(|path| workspace.path(path).is_file()) {
            tree.copy(*path, PLAIN, &workspace.path(path))?;
        }
        tree.copy("policy.schema.json", PLAIN, &workspace.path("deploy/policy.schema.json"))?;
        for path in FOLDERS {
            tree.copy_folder(path.trim_start_matches("deploy/"), &workspace.path(path))?;
        }
        add_manual(&mut tree, &programs.path("linkgate"))?;
        add_crates(workspace, &mut tree)?;
        let sums = tree.sums();
        tree.add(SUMS, PLAIN, sums)?;
        Ok(Self { release, tree })
    }

    /// Packs it all into a folder, which is emptied before, and gives a line for each file there, as `sha256sum` writes it.
    fn pack(&self, workspace: &Workspace, folder: &Path) -> Outcome<String> {
        remove_folder(folder)?;
        fs::create_dir_all(folder).trying(|| format!("make {}", folder.display()))?;
        let Release { version, epoch, .. } = &self.release;
        let name = format!("linkgate-{version}-linux-{}", std::env::consts::ARCH);
        let wasm = self.tree.get(&format!("share/{}", wasm::FILE)).unwrap_or_default();
        let packed = [
            (format!("{name}.tar.gz"), self.tree.pack(&name, *epoch)?),
            (format!("linkgate-filter-{version}.oci.tar"), oci::pack_filter(wasm, &self.release)?),
        ];
        let mut sums = String::new();
        for (name, bytes) in packed {
            fs::write(folder.join(&name), &bytes).trying(|| format!("write {name}"))?;
            sums += &sum_line(&name, &bytes);
        }
        let package = self.pack_deb(workspace, version, folder)?;
        let bytes = fs::read(&package).trying(|| format!("read {}", package.display()))?;
        sums += &sum_line(&package.file_name().unwrap_or_default().to_string_lossy(), &bytes);
        fs::write(folder.join(SUMS), &sums).trying(|| format!("write {SUMS}"))?;
        Ok(sums)
    }
}

/// Completions and pages, by the program itself.
fn add_manual(tree: &mut Tree, program: &Path) -> Outcome<()> {
    for (shell, name) in SHELLS {
        let text = capture(Programs::command(program).args(["completions", shell]))?;
        tree.add(format!("completions/{shell}/{name}"), PLAIN, text)?;
    }
    let pages = tempfile::tempdir().trying(|| "make a folder for the manual".to_owned())?;
    capture(Programs::command(program).args(["man", "--to"]).arg(pages.path()))?;
    tree.copy_folder("man/man1", pages.path())
}

/// What the programs are made of, and under which terms.
fn add_crates(workspace: &Workspace, tree: &mut Tree) -> Outcome<()> {
    let mut linked: BTreeSet<LinkedCrate> = BTreeSet::new();
    for (name, target) in CRATES {
        let target = target.map_or_else(sbom::static_target, str::to_owned);
        let list = sbom::list_crates(workspace, name, &target)?;
        tree.add(format!("sbom/{name}.cdx.json"), PLAIN, list.document)?;
        linked.extend(list.crates);
    }
    tree.add("THIRD-PARTY-LICENSES", PLAIN, licences::write_licences(&linked)?)
}
