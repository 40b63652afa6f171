//! Which module of the gate may use which.
//!
//! Promises: no arrow leads back, so there is no circle; a module that the table does not name is refused. Looks at paths
//! after `crate::`, `super::` and `self::` outside comments and test modules; that is enough to catch a slip.

use std::fs;
use std::path::Path;

use super::rust_files;
use crate::error::{Outcome, Trying};

/// Modules of the gate from the top down, and what each may use besides itself. A file belongs to the longest name that
/// fits it; `services::*` are `services` and all within it. `lib` is left out: it has every module, and none has it.
const MODULES: &[(&str, &[&str])] = &[
    (
        "gate",
        &[
            "context",
            "flow",
            "head",
            "identity",
            "limit",
            "metrics",
            "policy",
            "reply",
            "services::*",
            "time",
            "worker",
        ],
    ),
    (
        "flow",
        &[
            "flow::*",
            "caller_cache",
            "context",
            "denied",
            "head",
            "identity",
            "interrupt",
            "limit",
            "metrics",
            "record",
            "reply",
            "rules",
            "services::*",
            "time",
        ],
    ),
    (
        "flow::authentication",
        &[
            "flow::request",
            "caller_cache",
            "context",
            "credentials",
            "identity",
            "identity::signature",
            "interrupt",
            "metrics",
            "policy",
            "reason",
            "record",
            "time",
        ],
    ),
    (
        "flow::forward",
        &[
            "flow::request",
            "flow::verdict",
            "caller_cache",
            "context",
            "limit",
            "metrics",
            "record",
            "rules",
            "time",
            "token",
        ],
    ),
    (
        "flow::request",
        &[
            "caller_cache",
            "context",
            "credentials",
            "denied",
            "head",
            "identity::signature",
            "interrupt",
            "policy",
            "reason",
            "record",
            "reply",
        ],
    ),
    ("flow::verdict", &["limit", "record", "reply"]),
    ("flow::decision", &["metrics", "record"]),
    ("context", &["caller_cache", "keys", "limit", "policy", "services::question", "shared", "worker"]),
    (
        "identity",
        &[
            "identity::signature",
            "credentials",
            "directory",
            "interrupt",
            "jwt",
            "metrics",
            "policy",
            "reason",
            "reply",
            "secret",
            "services::*",
            "shared",
            "time",
            "worker",
        ],
    ),
    ("identity::signature", &["reason", "secret", "shared", "time"]),
    ("interrupt", &["denied", "reason", "reply", "services::question", "shared"]),
    ("worker", &["metrics", "services::cache", "services::singleflight", "shared", "token"]),
    ("policy", &["directory", "jwt", "keys", "limit", "rules", "secret", "services", "time"]),
    ("limit", &["denied", "reply", "shared", "time"]),
    ("rules", &["denied", "reply"]),
    ("metrics", &["services"]),
    ("services::singleflight", &["services::cache", "services::question"]),
    ("services::question", &["services::answer", "services::cache", "services", "reason", "secret"]),
    ("services::cache", &["services::answer", "services"]),
    ("services::answer", &["jwt", "reason", "secret"]),
    ("services", &[]),
    ("jwt", &["keys", "reason"]),
    ("token", &["keys"]),
    ("credentials", &["head", "reason", "secret"]),
    ("directory", &["secret"]),
    ("caller_cache", &["time"]),
    ("head", &["time"]),
    ("keys", &[]),
    ("reason", &[]),
    ("record", &[]),
    ("denied", &["reply"]),
    ("reply", &[]),
    ("secret", &[]),
    ("shared", &[]),
    ("time", &[]),
];

/// Holds every file below the folder of the gate's sources against the table.
pub(super) fn check(source: &Path) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for file in rust_files(source)? {
        let Some(path) = module_path(file.strip_prefix(source).unwrap_or(&file)) else { continue };
        let text = fs::read_to_string(&file).trying(|| format!("read {}", file.display()))?;
        let faults = find_faults(&path, &text);
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", file.display())));
    }
    Ok(wrong)
}

/// `flow/request.rs` is the module `flow::request`; `None` for tests and the crate's root.
fn module_path(file: &Path) -> Option<Vec<String>> {
    let whole = file.with_extension("");
    let names: Vec<String> = whole.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let left_out = names == ["lib"] || names.iter().any(|name| name == "tests");
    (!left_out).then_some(names)
}

/// The row of a path: the longest name that it begins with.
fn find_row(path: &[String]) -> Option<&'static str> {
    let fits = |name: &str| name.split("::").eq(path.iter().take(name.split("::").count()).map(String::as_str));
    MODULES.iter().map(|(name, _)| *name).filter(|name| fits(name)).max_by_key(|name| name.len())
}

fn find_faults(path: &[String], text: &str) -> Vec<String> {
    let Some(row) = find_row(path) else {
        return vec![format!("the module `{}`, which the table of arrows does not name", path.join("::"))];
    };
    let allowed = MODULES.iter().find(|(name, _)| *name == row).map_or(&[][..], |(_, allowed)| allowed);
    let used = imports(path, text).into_iter().map(|import| find_row(&import).unwrap_or("lib"));
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
fn imports(module: &[String], text: &str) -> Vec<Vec<String>> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
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
    use super::*;
    use crate::workspace::Workspace;

    fn faults(module: &str, text: &str) -> Vec<String> {
        find_faults(&module.split("::").map(str::to_owned).collect::<Vec<_>>(), text)
    }

    #[test]
    fn paths_are_found_in_every_form_of_import() {
        let text = "use crate::{reply::Reply, rules::{Denied, grants::{self, Access}}};\nuse super::{request::Request, Flow};\n\
            use super::super::limit;\nuse self::below::Thing;\nfn f() -> crate::time::Time { super::start::<u8>() }\n";
        let path: Vec<_> = ["flow", "forward"].map(str::to_owned).to_vec();
        let found: Vec<_> = imports(&path, text).into_iter().map(|path| path.join("::")).collect();
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
    fn no_arrow_leads_back() {
        for (at, (name, allowed)) in MODULES.iter().enumerate() {
            for allowed in *allowed {
                let below = MODULES.iter().skip(at + 1).filter(|(other, _)| allows(allowed, other)).count();
                let all = MODULES.iter().filter(|(other, _)| allows(allowed, other) && other != name).count();
                assert!(below == all && all > 0, "`{name}` uses `{allowed}`, which does not stand below it");
            }
        }
    }

    #[test]
    fn a_planted_import_makes_the_check_fail_and_the_tree_passes() {
        let source = Workspace::find().unwrap().path("filter/core/src");
        assert_eq!(check(&source).unwrap(), Vec::<String>::new());
        let planted = tempfile::tempdir().unwrap();
        let grants = fs::read_to_string(source.join("rules/grants.rs")).unwrap();
        fs::create_dir(planted.path().join("rules")).unwrap();
        fs::write(planted.path().join("rules/grants.rs"), format!("use crate::flow::Verdict;\n{grants}")).unwrap();
        let found = check(planted.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("rules/grants.rs: `rules` may not use `flow`"), "{found:?}");
    }
}
