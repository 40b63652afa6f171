//! Who may import whom: the tables, and the reading of the code that is held against them.
//!
//! Promises: a room or a crate that no table names is refused, so a new one is drawn before it is used. Looks at names
//! after `crate::` and `linkgate_store::` outside comments and test modules; that is enough to catch a slip.

mod gate;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

/// Rooms of the store and what each may use besides itself. `config` is plain data, handed down.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["commands", "config", "lib", "telemetry"]),
    ("commands", &["config", "lib", "telemetry", "maintenance"]),
    ("lib", &["commands", "config", "http", "telemetry", "maintenance"]),
    ("config", &[]),
    ("http", &["config"]),
    ("maintenance", &["config"]),
    ("telemetry", &["config"]),
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
    ("linkgate-catalog", &["linkgate-archive", "linkgate-contract", "linkgate-store-core"]),
    (
        "linkgate-store",
        &[
            "linkgate-archive",
            "linkgate-blob",
            "linkgate-catalog",
            "linkgate-contract",
            "linkgate-fetch",
            "linkgate-store-core",
        ],
    ),
    ("linkgate-cli", &["linkgate-gate", "linkgate-yaml"]),
    ("linkgate-yaml", &[]),
    ("linkgate-fuzz", &["linkgate-archive", "linkgate-contract", "linkgate-fetch", "linkgate-gate"]),
    (
        "linkgate-tests",
        &[
            "linkgate-archive",
            "linkgate-catalog",
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
    ("proxy-wasm", &["linkgate-filter"]),
    ("reqwest", &["linkgate-fetch", "linkgate-store", "linkgate-tests"]),
    ("sqlx", &["linkgate-catalog", "linkgate-tests"]),
];

/// Holds the code against the tables.
pub fn check(workspace: &Workspace) -> Outcome<()> {
    let mut wrong = crate_faults(workspace);
    let source = workspace.path("store-service/src");
    for file in rust_files(&source)?.into_iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(&file).trying(|| format!("read {}", file.display()))?;
        let inside = file.strip_prefix(&source).unwrap_or(&file);
        let faults = room_faults(&room_of(inside), &text);
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", file.display())));
    }
    wrong.extend(gate::check(&workspace.path("filter/core/src"))?);
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

/// `http/routes.rs` and `http.rs` are of the room `http`.
fn room_of(inside: &Path) -> String {
    let first = inside.iter().next().unwrap_or_default();
    Path::new(first).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn room_faults(room: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = ROOMS.iter().find(|(of, _)| *of == room) else {
        return vec![format!("the room `{room}`, which the table of arrows does not name")];
    };
    let mut faults: Vec<_> = imports(text)
        .into_iter()
        .map(|name| if ROOMS.iter().any(|(of, _)| *of == name) { name } else { "lib".to_owned() })
        .filter(|used| used != room && !allowed.contains(&used.as_str()))
        .map(|used| format!("`{room}` may not use `{used}`"))
        .collect();
    faults.sort();
    faults.dedup();
    faults
}

/// The names right after `crate::` or `linkgate_store::`, through one level of braces.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for root in ["crate::", "linkgate_store::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            names.extend(names_at(&code[at + root.len()..]));
        }
    }
    names
}

/// The name at the start of a path, or every first name of a brace group.
fn names_at(path: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut depth, mut names, mut start) = (0_usize, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
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
    fn names_are_found_in_every_form_of_import() {
        let text = "use crate::ingest::ports;\nuse crate::{config::Config, fetch::{a, b}, Thing};\nfn f() { crate::blob::x() }\n";
        assert_eq!(imports(text), ["ingest", "config", "fetch", "Thing", "blob"]);
        assert_eq!(imports("use linkgate_store::{config, run};\n"), ["config", "run"]);
    }

    #[test]
    fn comments_tests_and_other_crates_do_not_count() {
        let text = "// use crate::http;\nuse my_crate::http;\n$crate::catalog;\n#[cfg(test)]\nmod tests { use crate::catalog; }\n";
        assert_eq!(imports(text), Vec::<String>::new());
    }

    #[test]
    fn a_drawn_arrow_passes_and_another_is_refused() {
        assert_eq!(room_faults("http", "use crate::config::Config;\nuse crate::http::reply;"), Vec::<String>::new());
        assert_eq!(room_faults("telemetry", "use crate::http::Reply;"), ["`telemetry` may not use `http`"]);
        assert_eq!(room_faults("config", "use crate::{config, http};"), ["`config` may not use `http`"]);
        assert_eq!(room_faults("main", "use linkgate_store::{config::Config, run};"), Vec::<String>::new());
        assert_eq!(room_faults("main", "use linkgate_store::http::Api;"), ["`main` may not use `http`"]);
        assert_eq!(room_faults("http", "use crate::run;"), ["`http` may not use `lib`"]);
    }

    #[test]
    fn the_tree_keeps_to_the_tables() {
        check(&Workspace::find().unwrap()).unwrap();
    }

    #[test]
    fn a_room_that_is_not_drawn_is_refused() {
        assert_eq!(room_faults("attic", "").len(), 1);
        assert_eq!(room_of(Path::new("attic/chest.rs")), "attic");
        assert_eq!(room_of(Path::new("attic.rs")), "attic");
    }
}
