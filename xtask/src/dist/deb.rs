//! The Debian package, by Debian's own `dpkg-deb`: everything that goes into it is in one tree already, of which tools that
//! start from the manifest of one crate know a part only.
//!
//! Promises: the same tree gives the same bytes. Files are where Debian has them, and the units say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::{PLAIN, PROGRAM, Tree};
use super::{Contents, SHELLS};
use crate::error::{Failure, Outcome, Trying};
use crate::images::files::remove_folder;
use crate::release::Release;
use crate::run::{probe, run};
use crate::wasm;
use crate::workspace::Workspace;

const SHARE: &str = "usr/share/linkgate";
const DOC: &str = "usr/share/doc/linkgate";
/// Where the folder of the scripts is.
const DEBIAN: &str = "deploy/debian";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// What an operator edits, with its mode; an upgrade leaves it alone.
const CONFIGURATION: [(&str, u32); 2] = [("store.env", PLAIN), ("gateway.env", 0o600)];
const UNITS: [&str; 2] = ["linkgate-store.service", "linkgate-gateway.service"];
/// What the units of the sources call files, and where the package has them.
const PATHS: [(&str, &str); 2] =
    [("/usr/local/bin/linkgate", "/usr/bin/linkgate"), ("/etc/linkgate/envoy.yaml", "/usr/share/linkgate/envoy.yaml")];

impl Contents {
    /// Packs the package of this version into a folder, and returns its path.
    pub fn pack_deb(&self, workspace: &Workspace, version: &str, folder: &Path) -> Outcome<PathBuf> {
        if probe("dpkg-deb", &["--version"]).is_none() {
            return Err(Failure::missing("dpkg-deb is missing, which packs the Debian package: install dpkg"));
        }
        let staged = workspace.target.join("deb/stage");
        remove_folder(&staged)?;
        let tree = self.lay_out(workspace)?;
        tree.write_below(&staged, self.release.epoch)?;
        control(workspace, &self.release, version, tree.bytes())?.write_below(&staged, self.release.epoch)?;
        let package = folder.join(format!("linkgate_{version}_{}.deb", architecture()));
        let mut pack = Command::new("dpkg-deb");
        // Files get owner, group and times that do not depend on who packs them; one thread, for several cut otherwise.
        pack.args(["--root-owner-group", "--threads-max=1", "-Zxz", "--build"]).arg(&staged).arg(&package);
        run(pack.env("SOURCE_DATE_EPOCH", self.release.epoch.to_string()))?;
        remove_folder(&staged)?;
        Ok(package)
    }

    fn lay_out(&self, workspace: &Workspace) -> Outcome<Tree> {
        let mut tree = Tree::default();
        let wasm = format!("share/{}", wasm::FILE);
        let shared = [wasm.as_str(), "envoy.yaml", "policy.schema.json"];
        for path in shared {
            let name = path.trim_start_matches("share/");
            self.pick(&mut tree, path, &format!("{SHARE}/{name}"), PLAIN)?;
        }
        for name in ["linkgate", "linkgate-store"] {
            self.pick(&mut tree, &format!("bin/{name}"), &format!("usr/bin/{name}"), PROGRAM)?;
        }
        for (from, to) in [("prometheus/", SHARE), ("grafana/", SHARE), ("docs/", DOC), ("sbom/", DOC)] {
            for path in self.tree.paths().filter(|path| path.starts_with(from)) {
                self.pick(&mut tree, path, &format!("{to}/{path}"), PLAIN)?;
            }
        }
        for path in ["CHANGELOG.md", "README.md", "THIRD-PARTY-LICENSES"] {
            self.pick(&mut tree, path, &format!("{DOC}/{path}"), PLAIN)?;
        }
        self.pick(&mut tree, "LICENSE", &format!("{DOC}/copyright"), PLAIN)?;
        for path in self.tree.paths().filter(|path| path.starts_with("man/")) {
            self.pick(&mut tree, path, &format!("usr/share/{path}"), PLAIN)?;
        }
        let folders = [
            "usr/share/bash-completion/completions",
            "usr/share/zsh/vendor-completions",
            "usr/share/fish/vendor_completions.d",
        ];
        for ((shell, name), folder) in SHELLS.iter().zip(folders) {
            self.pick(&mut tree, &format!("completions/{shell}/{name}"), &format!("{folder}/{name}"), PLAIN)?;
        }
        self.pick(&mut tree, "policy.yaml", "etc/linkgate/policy.yaml", PLAIN)?;
        for (name, mode) in CONFIGURATION {
            tree.copy(format!("etc/linkgate/{name}"), mode, &workspace.path(DEBIAN).join(name))?;
        }
        for unit in UNITS {
            let path = workspace.path("deploy/systemd").join(unit);
            let text = fs::read_to_string(&path).trying(|| format!("read {}", path.display()))?;
            let text = PATHS.iter().fold(text, |text, (from, to)| text.replace(from, to));
            tree.add(format!("usr/lib/systemd/system/{unit}"), PLAIN, text)?;
        }
        Ok(tree)
    }

    fn pick(&self, tree: &mut Tree, from: &str, to: &str, mode: u32) -> Outcome<()> {
        let bytes = self.tree.get(from).ok_or_else(|| Failure::new(format!("{from} is not in the release")))?;
        tree.add(to, mode, bytes)
    }
}

/// What dpkg reads, below `DEBIAN/`.
fn control(workspace: &Workspace, release: &Release, version: &str, bytes: u64) -> Outcome<Tree> {
    let mut tree = Tree::default();
    let text = format!(
        "Package: linkgate\n\
         Version: {version}\n\
         Architecture: {}\n\
         Maintainer: The Linkgate authors <linkgate@localhost>\n\
         Installed-Size: {}\n\
         Depends: passwd\n\
         Section: net\n\
         Priority: optional\n\
         Description: Takes source packages in by link, behind a gate in Envoy\n \
         The store, the filter that Envoy loads, and the command line. Envoy itself, 1.36\n \
         or newer, is not in it: put it at /usr/local/bin/envoy. Built from {}.\n",
        architecture(),
        bytes.div_ceil(1024),
        release.commit,
    );
    tree.add("DEBIAN/control", PLAIN, text)?;
    let edited = CONFIGURATION.iter().map(|(name, _)| *name).chain(["policy.yaml"]);
    tree.add("DEBIAN/conffiles", PLAIN, edited.map(|name| format!("/etc/linkgate/{name}\n")).collect::<String>())?;
    for script in SCRIPTS {
        tree.copy(format!("DEBIAN/{script}"), PROGRAM, &workspace.path(DEBIAN).join(script))?;
    }
    Ok(tree)
}

/// What Debian calls this kind of machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
