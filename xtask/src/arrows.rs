//! Who may import whom: the tables, and what is held against them.
//!
//! Promises: a crate or a module that no table names is refused, so a new one is drawn before it is used. That a crate does
//! not use what is not among its dependencies, the compiler keeps; the table says what may be among them.

mod gate;
mod modules;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;
use modules::Table;

/// The tables of modules: the folder of a crate's sources, what others call it, and its table.
const TABLES: &[(&str, &str, Table)] = &[
    ("filter/core/src", "linkgate_gate", gate::MODULES),
    ("store-service/src", "linkgate_store", store::SERVICE),
    ("store-service/core/src", "linkgate_store_core", store::CORE),
    ("store-service/fetch/src", "linkgate_fetch", store::FETCH),
];

/// Our crates and which of ours each may use.
const CRATES: &[(&str, &[&str])] = &[
    ("linkgate-contract", &[]),
    ("linkgate-gate", &["linkgate-contract"]),
    ("linkgate-filter", &["linkgate-gate"]),
    ("linkgate-archive", &["linkgate-contract", "linkgate-yaml"]),
    ("linkgate-fetch", &["linkgate-contract"]),
    ("linkgate-store-core", &["linkgate-archive", "linkgate-contract", "linkgate-fetch"]),
    ("linkgate-blob", &["linkgate-contract", "linkgate-store-core"]),
    // The other one for its tests, which compare what both write into a directory.
    ("linkgate-blob-s3", &["linkgate-blob", "linkgate-contract", "linkgate-store-core"]),
    ("linkgate-catalog", &["linkgate-archive", "linkgate-contract", "linkgate-store-core"]),
    (
        "linkgate-store",
        &[
            "linkgate-archive",
            "linkgate-blob",
            "linkgate-blob-s3",
            "linkgate-catalog",
            "linkgate-console",
            "linkgate-contract",
            "linkgate-fetch",
            "linkgate-openapi",
            "linkgate-store-core",
        ],
    ),
    ("linkgate-console", &["linkgate-contract"]),
    ("linkgate-openapi", &["linkgate-contract"]),
    ("linkgate-client", &["linkgate-contract"]),
    ("linkgate-cli", &["linkgate-client", "linkgate-contract", "linkgate-gate", "linkgate-openapi", "linkgate-yaml"]),
    ("linkgate-yaml", &[]),
    ("linkgate-fuzz", &["linkgate-archive", "linkgate-contract", "linkgate-fetch", "linkgate-gate"]),
    ("linkgate-chaos", &["linkgate-store-core", "linkgate-tests"]),
    (
        "linkgate-tests",
        &[
            "linkgate-archive",
            "linkgate-catalog",
            "linkgate-chaos",
            "linkgate-cli",
            "linkgate-contract",
            "linkgate-gate",
            "linkgate-store",
            "linkgate-store-core",
        ],
    ),
    ("xtask", &[]),
];

/// Crates of others that only some of ours may use, but for their own tests.
const KEPT: &[(&str, &[&str])] = &[
    ("object_store", &["linkgate-blob-s3"]),
    ("proxy-wasm", &["linkgate-filter"]),
    ("reqwest", &["linkgate-client", "linkgate-store", "linkgate-tests", "linkgate-chaos"]),
    ("sqlx", &["linkgate-catalog", "linkgate-tests"]),
];

/// Holds the code against the tables.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let mut wrong = crate_faults(workspace);
    for (folder, crate_name, table) in TABLES {
        wrong.extend(modules::check(&workspace.path(folder), crate_name, table)?);
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("\n"))) }
}

fn crate_faults(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for package in &workspace.packages {
        let name = package.name.as_str();
        let Some((_, allowed)) = CRATES.iter().find(|(of, _)| *of == name) else {
            faults.push(format!("{name}: a crate that the table of arrows does not name"));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = CRATES.iter().any(|(of, _)| *of == dependency.name);
            let kept_from = KEPT.iter().any(|(of, by)| *of == dependency.name && !by.contains(&name));
            if ours && !allowed.contains(&dependency.name.as_str()) || kept_from && !dependency.is_for_tests() {
                faults.push(format!("{name}: may not depend on {}", dependency.name));
            }
        }
    }
    faults
}

/// Every file of Rust in a folder.
pub fn rust_files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let reading = || format!("read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).trying(reading)? {
        let path = entry.trying(reading)?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_keeps_to_the_tables() {
        check(&Workspace::find().unwrap()).unwrap();
    }
}
