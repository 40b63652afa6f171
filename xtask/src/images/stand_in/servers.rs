//! Of the profile `replicas` of the compose file: PostgreSQL, SeaweedFS and HAProxy.
//!
//! Stand-ins hold the programs of Debian's packages, and SeaweedFS as it is fetched for tests.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{copy_program, provide, remove};
use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::images::files::{copy_file, make_folder, path_in_image};
use crate::run::run;
use crate::test::tools;
use crate::up::replicas::database::Database;
use crate::weed;
use crate::workspace::Workspace;

/// As `docker-compose.yml` has them.
const POSTGRES: &str = "postgres:17.6-bookworm";
const SEAWEEDFS: &str = "chrislusf/seaweedfs:4.48";
const HAPROXY: &str = "haproxy:3.2-alpine";
/// Programs of Debian, and the packages that have them. The second one asks servers for their health.
const TOOLS: [(&str, &str); 2] = [("haproxy", "haproxy"), ("wget", "wget")];
/// What stands before a command that is looked for on the path, or is a script.
const SHELL: (&str, &str) = ("/bin/dash", "/bin/sh");
const WGET: &str = "/usr/bin/wget";
/// What PostgreSQL reads beside its own files.
const READ: [&str; 2] = ["/usr/share/zoneinfo", "/usr/lib/locale/C.utf8"];
const USERS: &str = "postgres:x:65532:65532::/:/bin/sh\n";
/// What the official image does with the same variables.
const BEGIN: &str = r#"#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo "create database \"$POSTGRES_DB\"" | postgres --single -j postgres
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
exec "$@" -c listen_addresses='*'
"#;

/// The programs.
struct Servers {
    postgres: Database,
    weed: PathBuf,
}

/// Gets what stand-ins are made of, for there may be no network later.
pub fn find_servers(workspace: &Workspace) -> Outcome<()> {
    find(workspace).map(drop)
}

fn find(workspace: &Workspace) -> Outcome<Servers> {
    tools::add(&TOOLS);
    if let Some((_, package)) = TOOLS.iter().find(|(tool, _)| !tools::has_program(tool)) {
        return Err(Failure::missing(format!("there is no {package}: install it")));
    }
    let weed = weed::find_weed(workspace).ok_or_else(|| Failure::missing("there is no SeaweedFS, see above"))?;
    Ok(Servers { postgres: Database::find()?, weed })
}

/// Sees to it that all images are there.
pub fn provide_servers(workspace: &Workspace, docker: &Docker) -> Outcome<()> {
    let Servers { postgres, weed } = find(workspace)?;
    let programs = postgres.programs();
    let paths =
        format!("ENV PATH={}:/usr/bin:/bin\nENTRYPOINT [\"/entrypoint\"]\nCMD [\"postgres\"]\n", programs.display());
    provide(workspace, docker, POSTGRES, &paths, |root| lay_out_postgres(programs, root))?;
    provide(workspace, docker, SEAWEEDFS, "", |root| {
        copy_file(&weed, &path_in_image(root, "/usr/bin/weed"), 0o755)?;
        add_probe(root)
    })?;
    provide(workspace, docker, HAPROXY, "", |root| {
        copy_program(Path::new("/usr/sbin/haproxy"), root, "/usr/sbin/haproxy")?;
        add_probe(root)
    })
}

/// Removes stand-ins, so that nobody takes them for official images.
pub fn remove_servers(docker: &Docker) {
    [POSTGRES, SEAWEEDFS, HAPROXY].iter().for_each(|name| remove(docker, name));
}

fn add_probe(root: &Path) -> Outcome<()> {
    copy_program(Path::new(WGET), root, WGET)?;
    copy_program(Path::new(SHELL.0), root, SHELL.1)
}

/// `…/15/bin`, `…/15/lib` and what Debian has for that version elsewhere.
fn lay_out_postgres(programs: &Path, root: &Path) -> Outcome<()> {
    for name in ["postgres", "initdb", "pg_isready"] {
        let program = programs.join(name);
        copy_program(&program, root, &program.to_string_lossy())?;
    }
    copy_program(Path::new(SHELL.0), root, SHELL.1)?;
    let home = programs.parent().unwrap_or(programs);
    let libraries = fs::read_dir(home.join("lib")).trying(|| format!("read {}", home.display()))?;
    for library in libraries.flatten().map(|entry| entry.path()).filter(|path| is_needed(path)) {
        // What these need, the server has.
        copy_file(&library, &path_in_image(root, &library.to_string_lossy()), 0o755)?;
    }
    let version = home.file_name().unwrap_or_default();
    let share = Path::new("/usr/share/postgresql").join(version);
    copy_folder(&share, root)?;
    READ.iter().try_for_each(|folder| copy_folder(Path::new(folder), root))?;
    let write = |path: &str, text: &str| {
        let path = path_in_image(root, path);
        fs::write(&path, text).trying(|| format!("write {}", path.display()))
    };
    make_folder(&path_in_image(root, "/etc"), 0o755)?;
    write("/etc/passwd", USERS)?;
    write("/entrypoint", BEGIN)?;
    let entrypoint = path_in_image(root, "/entrypoint");
    let executable = fs::set_permissions(&entrypoint, Permissions::from_mode(0o755));
    executable.trying(|| format!("make {} a program", entrypoint.display()))
}

fn copy_folder(folder: &Path, root: &Path) -> Outcome<()> {
    let to = path_in_image(root, &folder.to_string_lossy());
    make_folder(to.parent().unwrap_or(root), 0o755)?;
    run(Command::new("cp").arg("-a").arg(folder).arg(to))
}

/// The compiler of queries is large, and its library is left out; without both, queries are not compiled.
fn is_needed(library: &Path) -> bool {
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") && !name.starts_with("llvmjit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compose_file_names_the_same_images() {
        let compose = fs::read_to_string(crate::workspace::root_of_tests().join("docker-compose.yml")).unwrap();
        for name in [POSTGRES, SEAWEEDFS, HAPROXY] {
            assert!(compose.contains(&format!(":-{name}}}\n")), "{name}");
        }
    }

    #[test]
    fn what_compiles_queries_is_left_out() {
        assert!(is_needed(Path::new("/lib/plpgsql.so")));
        for name in ["/lib/llvmjit.so", "/lib/llvmjit_types.bc", "/lib/pgxs"] {
            assert!(!is_needed(Path::new(name)), "{name}");
        }
    }
}
