//! What goes into the images, laid out in folders: `NAME/` becomes the root of an image and belongs to root, and
//! `NAME-folders/` holds the empty folders that belong to the user that the image runs as.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{copy_file, make_folder, path_in_image};
use super::sbom;
use crate::error::{Failure, Outcome, Trying};
use crate::release::Release;
use crate::run::{probe, run};
use crate::up::sample;
use crate::wasm;
use crate::workspace::Workspace;

/// Where programs lie in every image.
const BIN: &str = "/usr/local/bin";
/// Where the filter and the reference files lie.
const SHARE: &str = "/usr/local/share/linkgate";
/// The demo's package, also beside the roots of the images.
pub const PACKAGE: &str = "example.tar.gz";
/// Where the libraries for TLS look for the certificates that they trust.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Empty folders of an image, with their modes. A volume that is mounted there for the first time takes them over.
const FOLDERS: [(&str, &[(&str, u32)]); 4] = [
    ("store", &[("/data", 0o750), ("/backup", 0o750), ("/keys/public", 0o755)]),
    ("cli", &[("/policy", 0o755), ("/keys/private", 0o700), ("/keys/public", 0o755), ("/demo", 0o700)]),
    (
        "sample",
        &[
            ("/demo", 0o700),
            ("/shared/bucket", 0o700),
            ("/shared/database", 0o700),
            ("/shared/store", 0o700),
            ("/volumes/database", 0o700),
            ("/volumes/objects", 0o700),
        ],
    ),
    ("gateway", &[("/policy", 0o755), ("/keys/private", 0o700)]),
];

/// Programs that were built for images: static, for any Linux.
pub struct Programs {
    folder: PathBuf,
    wasm: PathBuf,
}

impl Programs {
    /// Builds them.
    pub fn build(workspace: &Workspace, quick: bool) -> Outcome<Self> {
        let target = sbom::static_target();
        if probe("musl-gcc", &["--version"]).is_none() {
            return Err(Failure::missing(
                "musl-gcc is missing, which static programs are built with: install musl-tools",
            ));
        }
        workspace.need_target(&target)?;
        let wasm = wasm::build(workspace)?;
        let profile = if quick { "quick" } else { "release" };
        let mut command = workspace.cargo_build_for(&target);
        command.args(["--locked", "--profile", profile, "-p", "linkgate-store", "-p", "linkgate-cli", "-p", "xtask"]);
        command.envs(Release::find(workspace)?.variables());
        run(&mut command)?;
        let folder = workspace.target.join(target).join(profile);
        for program in ["linkgate-store", "linkgate", "xtask"].map(|name| folder.join(name)).iter().chain([&wasm]) {
            check_paths(workspace, program)?;
        }
        Ok(Self { folder, wasm })
    }

    /// Where a program is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the filter is.
    pub fn filter(&self) -> &Path {
        &self.wasm
    }
}

/// Refuses a program that names a folder of this machine: another machine would make other bytes of the same sources.
fn check_paths(workspace: &Workspace, program: &Path) -> Outcome<()> {
    let bytes = fs::read(program).trying(|| format!("read {}", program.display()))?;
    for (folder, stands_for_it) in workspace.folders() {
        if folder != Path::new(stands_for_it) && contains_path(&bytes, &folder) {
            let (program, folder) = (program.display(), folder.display());
            return Err(Failure::new(format!(
                "{program} names {folder}: find the compiler that lacks the flag to leave it out"
            )));
        }
    }
    Ok(())
}

fn contains_path(program: &[u8], folder: &Path) -> bool {
    let path = [folder.as_os_str().as_encoded_bytes(), b"/"].concat();
    program.windows(path.len()).any(|part| part == path)
}

/// Lays out all images, in a folder that is not there or is empty.
pub fn lay_out_images(workspace: &Workspace, programs: &Programs, folder: &Path) -> Outcome<()> {
    make_folder(folder, 0o755)?;
    let mut entries = fs::read_dir(folder).trying(|| format!("read {}", folder.display()))?;
    if entries.next().is_some() {
        return Err(Failure::new(format!("{} is not empty: name another folder", folder.display())));
    }
    let add =
        |image: &str, from: &Path, to: &str, mode: u32| copy_file(from, &path_in_image(&folder.join(image), to), mode);
    let add_program =
        |image: &str, name: &str| add(image, &programs.folder.join(name), &format!("{BIN}/{name}"), 0o755);
    let share = |image: &str, from: &Path, name: &str| add(image, from, &format!("{SHARE}/{name}"), 0o644);
    add_program("store", "linkgate-store")?;
    add_program("cli", "linkgate")?;
    add_program("gateway", "linkgate")?;
    add_program("sample", "xtask")?;
    for image in ["store", "cli"] {
        add(image, Path::new(CERTIFICATES), CERTIFICATES, 0o644)
            .map_err(|failure| Failure::missing(format!("{failure}: install ca-certificates")))?;
    }
    for image in ["cli", "gateway"] {
        share(image, &programs.wasm, wasm::FILE)?;
        share(image, &workspace.path("envoy.yaml"), "envoy.yaml")?;
    }
    for image in ["cli", "sample"] {
        share(image, &workspace.path("policy.yaml"), "policy.yaml")?;
    }
    // Packed here: the same program compresses otherwise where it shares a library with another one.
    let package = folder.join(PACKAGE);
    fs::write(&package, sample::pack_sample(&workspace.path("samples"))?)
        .trying(|| format!("write {}", package.display()))?;
    share("sample", &package, PACKAGE)?;
    add("filter", &programs.wasm, "/plugin.wasm", 0o644)?;
    for (image, package) in [("store", "linkgate-store"), ("cli", "linkgate-cli")] {
        sbom::write_bom(workspace, package, &path_in_image(&folder.join(image), &format!("{SHARE}/sbom.cdx.json")))?;
    }
    for (image, folders) in FOLDERS {
        let root = folder.join(format!("{image}-folders"));
        folders.iter().try_for_each(|(path, mode)| make_folder(&path_in_image(&root, path), *mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_found_in_a_program_but_not_another_one_that_begins_alike() {
        let program = b"\x7fELF\0/home/me/.cargo/registry/src/lib.rs\0/home/me/linkgate-old/a.rs";
        assert!(contains_path(program, Path::new("/home/me/.cargo")));
        assert!(!contains_path(program, Path::new("/home/me/linkgate")));
        assert!(!contains_path(b"", Path::new("/home/me")));
    }
}
