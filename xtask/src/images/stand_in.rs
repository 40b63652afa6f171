//! Envoy's image: the official one, or where that cannot be had one that holds the same program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{copy_file, path_in_image, remove_folder};
use crate::docker::Docker;
use crate::envoy;
use crate::error::{Failure, Outcome, Trying};
use crate::run::capture;
use crate::workspace::Workspace;

/// What the `Dockerfile` builds the gateway on.
const OFFICIAL: &str = "envoyproxy/envoy";
/// Who finds the stand-in on a machine should see what it is.
const DOCKERFILE: &str = "FROM scratch\n\
    LABEL linkgate.stand-in=\"Envoy's program with the C library of the machine that made this image\"\n\
    COPY root/ /\n\
    ENTRYPOINT [\"/usr/local/bin/envoy\"]\n";
/// How long a registry may take.
const PULL_S: &str = "180";

/// Sees to it that Envoy's image is there.
pub fn provide_envoy(workspace: &Workspace, docker: &Docker) -> Outcome<()> {
    let name = format!("{OFFICIAL}:v{}", envoy::VERSION);
    if docker.has_image(&name) {
        println!("{name}: was there");
        return Ok(());
    }
    let pulled = docker.on_engine(Command::new("timeout"), [PULL_S, "docker", "pull", "--quiet", &name]).output();
    if pulled.is_ok_and(|output| output.status.success()) {
        println!("{name}: pulled");
        return Ok(());
    }
    let folder = workspace.target.join("images").join("stand-in");
    lay_out(&envoy::fetch_pinned(workspace)?, &folder)?;
    docker.build(&folder, None, &name, &[])?;
    println!("{name}: could not be pulled, a stand-in of the same program was made");
    Ok(())
}

/// Whether an image is the stand-in.
pub fn is_stand_in(docker: &Docker) -> bool {
    let name = format!("{OFFICIAL}:v{}", envoy::VERSION);
    let label = "{{index .Config.Labels \"linkgate.stand-in\"}}";
    let output = docker.command(["image", "inspect", "--format", label, &name]).output();
    output.is_ok_and(|output| output.status.success() && !output.stdout.trim_ascii().is_empty())
}

/// Removes it, so that nobody takes it for the official image.
pub fn remove_stand_in(docker: &Docker) {
    if is_stand_in(docker) {
        docker.succeeds(["image", "rm", "--force", &format!("{OFFICIAL}:v{}", envoy::VERSION)]);
    }
}

fn lay_out(program: &Path, folder: &Path) -> Outcome<()> {
    remove_folder(folder)?;
    let root = folder.join("root");
    copy_file(program, &path_in_image(&root, "/usr/local/bin/envoy"), 0o755)?;
    let libraries = find_libraries(&capture(Command::new("ldd").arg(program))?);
    if libraries.is_empty() {
        return Err(Failure::new(format!("`ldd {}` names no library", program.display())));
    }
    for library in libraries {
        copy_file(&library, &path_in_image(&root, &library.to_string_lossy()), 0o755)?;
    }
    fs::write(folder.join("Dockerfile"), DOCKERFILE).trying(|| format!("write {}", folder.display()))
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
