//! Images of others: the official ones, or where those cannot be had such that hold the same programs.

mod servers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{copy_file, make_folder, path_in_image, remove_folder};
use crate::docker::Docker;
use crate::envoy;
use crate::error::{Failure, Outcome, Trying};
use crate::run::capture;
use crate::workspace::Workspace;
pub use servers::{find_servers, provide_servers, remove_servers};

/// What the `Dockerfile` builds the gateway on.
const OFFICIAL: &str = "envoyproxy/envoy";
/// Who finds a stand-in on a machine should see what it is.
const DOCKERFILE: &str = "FROM scratch\n\
    LABEL linkgate.stand-in=\"the program with the C library of the machine that made this image\"\n\
    COPY root/ /\n";
const ENTRYPOINT: &str = "ENTRYPOINT [\"/usr/local/bin/envoy\"]\n";
/// How long a registry may take.
const PULL_S: &str = "180";

/// Sees to it that Envoy's image is there.
pub fn provide_envoy(workspace: &Workspace, docker: &Docker) -> Outcome<()> {
    provide(workspace, docker, &envoy_image(), ENTRYPOINT, |root| {
        copy_program(&envoy::fetch_pinned(workspace)?, root, "/usr/local/bin/envoy")
    })
}

/// Sees to it that an image of others is there; a stand-in is laid out in a folder, and its Dockerfile ends like this.
fn provide(
    workspace: &Workspace,
    docker: &Docker,
    name: &str,
    ending: &str,
    lay_out: impl FnOnce(&Path) -> Outcome<()>,
) -> Outcome<()> {
    if docker.has_image(name) {
        println!("{name}: was there");
        return Ok(());
    }
    let pulled = docker.on_engine(Command::new("timeout"), [PULL_S, "docker", "pull", "--quiet", name]).output();
    if pulled.is_ok_and(|output| output.status.success()) {
        println!("{name}: pulled");
        return Ok(());
    }
    let folder = workspace.target.join("images").join("stand-in");
    remove_folder(&folder)?;
    lay_out(&folder.join("root"))?;
    // A container that is started again takes over the mode of what its image has here.
    make_folder(&folder.join("root/tmp"), 0o1777)?;
    let dockerfile = [DOCKERFILE, ending].concat();
    fs::write(folder.join("Dockerfile"), dockerfile).trying(|| format!("write {}", folder.display()))?;
    docker.build(&folder, None, name, &[])?;
    println!("{name}: could not be pulled, a stand-in of the same program was made");
    Ok(())
}

fn envoy_image() -> String {
    format!("{OFFICIAL}:v{}", envoy::VERSION)
}

/// Whether an image is a stand-in.
fn is_stand_in(docker: &Docker, name: &str) -> bool {
    let label = "{{index .Config.Labels \"linkgate.stand-in\"}}";
    let output = docker.command(["image", "inspect", "--format", label, name]).output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.trim_ascii().is_empty())
}

/// Removes it, so that nobody takes it for the official image.
pub fn remove_stand_in(docker: &Docker) {
    remove(docker, &envoy_image());
}

fn remove(docker: &Docker, name: &str) {
    if is_stand_in(docker, name) {
        docker.succeeds(["image", "rm", "--force", name]);
    }
}

/// Copies a program of this machine, and what it is linked with.
fn copy_program(program: &Path, root: &Path, to: &str) -> Outcome<()> {
    copy_file(program, &path_in_image(root, to), 0o755)?;
    copy_libraries(program, root)
}

fn copy_libraries(program: &Path, root: &Path) -> Outcome<()> {
    let libraries = find_libraries(&capture(Command::new("ldd").arg(program))?);
    if libraries.is_empty() {
        return Err(Failure::new(format!("`ldd {}` names no library", program.display())));
    }
    for library in libraries {
        copy_file(&library, &path_in_image(root, &library.to_string_lossy()), 0o755)?;
    }
    Ok(())
}

/// Reads `libm.so.6 => /lib/libm.so.6 (0x7f…)` and `/lib64/ld-linux-x86-64.so.2 (0x7f…)`.
fn find_libraries(text: &str) -> Vec<PathBuf> {
    let paths = text.split_whitespace().filter(|word| word.starts_with('/') && word.contains(".so"));
    paths.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let text =
            "\tlinux-vdso.so.1 (0x7ffe)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x7f)\n\t/lib64/ld-linux.so.2 (0x7f)\n";
        assert_eq!(find_libraries(text), ["/lib/x/libm.so.6", "/lib64/ld-linux.so.2"].map(PathBuf::from));
    }
}
