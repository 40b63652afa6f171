//! The reading of a crate's code, which is held against the table of its modules.
//!
//! Promises: a module that the table does not name is refused. Looks at paths after `crate::`, `super::` and `self::`
//! outside comments and test modules; that is enough to catch a slip. A test keeps arrows from leading back, so there is no
//! circle.

use std::fs;
use std::path::Path;

use super::rust_files;
use crate::error::{Outcome, Trying};

/// Modules from the top down, and what each may use besides itself. A file belongs to the longest name that fits it;
/// `services::*` are `services` and all within it. `lib` is left out: it has every module, and few have it.
pub(super) type Table = &'static [(&'static str, &'static [&'static str])];

/// Holds every file below a folder of sources against the table of its crate, which others call `crate_name`.
pub(super) fn check(source: &Path, crate_name: &str, table: Table) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for file in rust_files(source)? {
        let Some(path) = module_path(file.strip_prefix(source).unwrap_or(&file)) else { continue };
        let text = fs::read_to_string(&file).trying(|| format!("read {}", file.display()))?;
        let faults = find_faults(table, crate_name, &path, &text);
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", file.display())));
    }
    Ok(wrong)
}

/// `flow/request.rs` is the module `flow::request`; `None` for tests, what only they use, and the crate's root.
fn module_path(file: &Path) -> Option<Vec<String>> {
    let whole = file.with_extension("");
    let names: Vec<String> = whole.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let is_for_tests = |name: &String| name == "testing" || name == "tests" || name.ends_with("_tests");
    (names != ["lib"] && !names.iter().any(is_for_tests)).then_some(names)
}

/// The row of a path: the longest name that it begins with.
fn find_row(table: Table, path: &[String]) -> Option<&'static str> {
    let fits = |name: &str| name.split("::").eq(path.iter().take(name.split("::").count()).map(String::as_str));
    table.iter().map(|(name, _)| *name).filter(|name| fits(name)).max_by_key(|name| name.len())
}

fn find_faults(table: Table, crate_name: &str, path: &[String], text: &str) -> Vec<String> {
    let Some(row) = find_row(table, path) else {
        return vec![format!("the module `{}`, which the table of arrows does not name", path.join("::"))];
    };
    let allowed = table.iter().find(|(name, _)| *name == row).map_or(&[][..], |(_, allowed)| allowed);
    let used = imports(crate_name, path, text).into_iter().map(|import| find_row(table, &import).unwrap_or("lib"));
    let mut faults: Vec<_> = used
        .filter(|used| *used != row && !allowed.iter().any(|allowed| allows(allowed, used)))
        .map(|used| format!("`{row}` may not use `{used}`"))
        .collect();
    faults.sort();
    faults.dedup();
    faults
}

fn allows(allowed: &str, used: &str) -> bool {
    match allowed.strip_suffix("::*") {
        Some(parent) => used == parent || used.strip_prefix(parent).is_some_and(|rest| rest.starts_with("::")),
        None => used == allowed,
    }
}

/// Every path that the code names from the crate's root or from its own place in it, written from the root.
fn imports(crate_name: &str, module: &[String], text: &str) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    // What the program of a crate calls its library by.
    let code = code.replace(&format!(" {crate_name}::"), " crate::");
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "_$:".contains(c)) {
                continue;
            }
            let mut start: Vec<String> = if root == "crate::" { Vec::new() } else { module.to_vec() };
            let mut rest = &code[at..];
            while let Some(after) = rest.strip_prefix("super::") {
                start.pop();
                rest = after;
            }
            let rest = rest.strip_prefix("crate::").or_else(|| rest.strip_prefix("self::")).unwrap_or(rest);
            expand(&start, rest, &mut found);
        }
    }
    found
}

/// Follows a path through its brace groups; returns what comes after it.
fn expand<'a>(start: &[String], rest: &'a str, found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = start.to_vec();
    let mut rest = rest.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let after = expand(&path, rest, found);
                let item = after.find([',', '}']).unwrap_or(after.len());
                rest = after[item..].trim_start_matches(',').trim_start();
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        path.extend((!name.is_empty() && name != "self").then(|| name.to_owned()));
        match after.strip_prefix("::") {
            Some(after) if !after.starts_with('<') => rest = after,
            _ => {
                found.push(path);
                return after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TABLES;
    use super::super::gate::MODULES;
    use super::*;
    use crate::workspace::Workspace;

    fn faults(module: &str, text: &str) -> Vec<String> {
        find_faults(MODULES, "linkgate_gate", &module.split("::").map(str::to_owned).collect::<Vec<_>>(), text)
    }

    #[test]
    fn paths_are_found_in_every_form_of_import() {
        let text = "use crate::{reply::Reply, rules::{Denied, grants::{self, Access}}};\nuse super::{request::Request, Flow};\n\
            use super::super::limit;\nuse self::below::Thing;\nfn f() -> crate::time::Time { super::start::<u8>() }\n";
        let path: Vec<_> = ["flow", "forward"].map(str::to_owned).to_vec();
        let found: Vec<_> = imports("linkgate_gate", &path, text).into_iter().map(|path| path.join("::")).collect();
        assert_eq!(
            found,
            [
                "reply::Reply",
                "rules::Denied",
                "rules::grants",
                "rules::grants::Access",
                "time::Time",
                "flow::request::Request",
                "flow::Flow",
                "limit",
                "flow::start",
                "flow::forward::below::Thing",
            ]
        );
    }

    #[test]
    fn comments_tests_and_other_crates_do_not_count() {
        let text = "//! Of [`crate::flow::Verdict`].\nuse my_crate::flow;\n$crate::flow;\n#[cfg(test)]\nmod tests { use crate::flow; }";
        assert!(faults("limit", text).is_empty());
    }

    #[test]
    fn a_drawn_arrow_passes_and_another_is_refused() {
        assert!(faults("limit", "use crate::denied::Denied;\nuse crate::limit::Rate;").is_empty());
        assert_eq!(faults("limit", "use crate::flow::Verdict;"), ["`limit` may not use `flow`"]);
        assert_eq!(faults("flow::request", "use super::Flow;"), ["`flow::request` may not use `flow`"]);
        assert_eq!(faults("flow::request", "use crate::gate::Gate;"), ["`flow::request` may not use `gate`"]);
        assert_eq!(faults("policy::compile::rules", "use crate::limit::Rate;"), Vec::<String>::new());
        assert_eq!(faults("policy::compile::rules", "use crate::{gate, flow};").len(), 2);
        assert_eq!(
            faults("services::cache", "use super::{ServiceKind, question::Question};"),
            ["`services::cache` may not use `services::question`"]
        );
        assert_eq!(faults("worker", "use crate::services::question::Question;").len(), 1);
        assert_eq!(faults("rules::grants", "use crate::Gate;"), ["`rules` may not use `lib`"]);
        assert_eq!(faults("attic", ""), ["the module `attic`, which the table of arrows does not name"]);
    }

    #[test]
    fn a_program_is_held_to_the_table_by_the_name_of_its_library() {
        let table: Table = &[("main", &["commands", "lib"]), ("commands", &[]), ("http", &[])];
        let faults = |text: &str| find_faults(table, "linkgate_store", &["main".to_owned()], text);
        assert!(faults("use linkgate_store::commands::Command;\nfn f() { linkgate_store::run() }").is_empty());
        assert_eq!(faults("use linkgate_store::{commands, http};"), ["`main` may not use `http`"]);
    }

    #[test]
    fn no_arrow_leads_back() {
        for (_, _, table) in TABLES {
            for (at, (name, allowed)) in table.iter().enumerate() {
                for allowed in allowed.iter().filter(|allowed| **allowed != "lib") {
                    let below = table.iter().skip(at + 1).filter(|(other, _)| allows(allowed, other)).count();
                    let all = table.iter().filter(|(other, _)| allows(allowed, other) && other != name).count();
                    assert!(below == all && all > 0, "`{name}` uses `{allowed}`, which does not stand below it");
                }
            }
        }
    }

    #[test]
    fn a_planted_import_makes_the_check_fail_and_the_tree_passes() {
        let workspace = Workspace::find().unwrap();
        for (folder, crate_name, table) in TABLES {
            let source = workspace.path(folder);
            assert_eq!(check(&source, crate_name, table).unwrap(), Vec::<String>::new());
        }
        let planted = tempfile::tempdir().unwrap();
        for (folder, file, import, message) in [
            ("filter/core/src", "rules/grants.rs", "crate::flow::Verdict", "`rules` may not use `flow`"),
            ("store-service/src", "http/routes.rs", "crate::commands::Command", "`http` may not use `commands`"),
            ("store-service/core/src", "trace.rs", "crate::ingest::Ingest", "`trace` may not use `ingest`"),
            (
                "store-service/fetch/src",
                "client/redirects.rs",
                "super::range_fetcher::RangeFetcher",
                "`client::redirects` may not use `client::range_fetcher`",
            ),
        ] {
            let (_, crate_name, table) = TABLES.iter().find(|(of, _, _)| *of == folder).unwrap();
            let text = fs::read_to_string(workspace.path(folder).join(file)).unwrap();
            let copy = planted.path().join(folder).join(file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::write(copy, format!("use {import};\n{text}")).unwrap();
            let found = check(&planted.path().join(folder), crate_name, table).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].ends_with(&format!("{file}: {message}")), "{found:?}");
        }
    }
}
