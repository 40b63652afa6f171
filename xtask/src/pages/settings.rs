//! `docs/reference/SETTINGS.md`: every variable of the store, of Envoy's configuration, of the gate and of the compose file.

use super::entries::{self, Entry};
use super::{Sources, all_said, begin, head, row};
use crate::error::Outcome;

const INTRODUCTION: &str = "\
Every variable, as the code says it. [CONFIGURATION.md](../CONFIGURATION.md) says which of them matter, and what goes together.
Times and sizes are whole numbers; the end of a name says the unit (`_S` seconds, `_MS` milliseconds, `_BYTES` bytes).";

/// The store's settings, by their files.
const STORE: [(&str, &[&str]); 9] = [
    ("Where and what", &["config.rs", "config/modules.rs", "config/log.rs"]),
    ("Listener and limits", &["config/server.rs", "config/links.rs"]),
    ("TLS, trust and keys", &["config/tls.rs", "config/auth.rs", "config/keys.rs", "config/sealing.rs"]),
    ("Downloads from sources", &["config/fetch.rs", "config/credentials.rs", "config/host_tls.rs"]),
    ("What a package may be", &["config/package.rs"]),
    ("Maintenance", &["config/maintenance.rs"]),
    ("Quotas and retention", &["config/rules.rs"]),
    ("A shared database and bucket", &["config/shared.rs"]),
    ("Traces", &["config/traces.rs"]),
];
const PREFIXES: [&str; 2] = ["LINKGATE_", "OTEL_"];
/// What only stores for tests know.
const OF_TESTS: [&str; 2] = ["LINKGATE_STORE_FAILPOINT", "LINKGATE_S3_RETRY_TIMEOUT_MS"];

pub(super) fn page(sources: &Sources<'_>) -> Outcome<String> {
    let mut text = begin("Settings", INTRODUCTION);
    text.push_str("\n## The store\n");
    for (title, files) in STORE {
        let mut code = String::new();
        for file in files {
            code.push_str(&sources.read_code(&format!("store-service/src/{file}"))?);
        }
        let entries = of(entries::of_code(&code));
        all_said(&find_faults(title, &constants(&code), &entries))?;
        text.push_str(&format!("\n### {title}\n{}", head(&["variable", "meaning"])));
        text.extend(entries.iter().map(|entry| row(&[&entry.title(), &entry.text])));
    }
    text.push_str("\n## The gate\n\nThey are variables of Envoy's process. To change one, restart Envoy.\n");
    text.push_str(&head(&["variable", "meaning"]));
    let gate = of(entries::of_code(&sources.read_code("filter/src/root.rs")?));
    text.extend(gate.iter().map(|entry| row(&[&entry.title(), &entry.text])));
    for (title, about, file) in [
        ("Envoy's configuration", "They count when `linkgate envoy render` or `run` reads `envoy.yaml`.", "envoy.yaml"),
        ("Docker Compose", "They stand in `.env` beside `docker-compose.yml`.", "docker-compose.yml"),
    ] {
        text.push_str(&format!("\n## {title}\n\n{about}\n{}", of_yaml(file, &sources.read(file)?)?));
    }
    Ok(text)
}

fn of(entries: Vec<Entry>) -> Vec<Entry> {
    entries.into_iter().filter(|entry| entry.is_of(&PREFIXES)).collect()
}

/// Variables that the code names.
fn constants(code: &str) -> Vec<String> {
    let names = entries::literals(code).into_iter().filter(|(before, _)| {
        let before = before.trim();
        before.is_empty() || (before.contains("const ") && before.ends_with("&str ="))
    });
    let is_name = |name: &String| {
        PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            && !name.ends_with('_')
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    names.map(|(_, name)| name).filter(is_name).filter(|name| !OF_TESTS.contains(&name.as_str())).collect()
}

fn find_faults(place: &str, names: &[String], entries: &[Entry]) -> Vec<String> {
    let said: Vec<&String> = entries.iter().flat_map(|entry| &entry.names).collect();
    let unsaid = names.iter().filter(|name| !said.contains(name));
    let unsaid = unsaid.map(|name| format!("{place}: say what `{name}` is, in a comment ``/// `{name}`: …``"));
    let twice = said.iter().enumerate().filter(|(at, name)| said[..*at].contains(name));
    let twice = twice.map(|(_, name)| format!("{place}: `{name}` is said twice"));
    let unknown = said.iter().filter(|name| !names.contains(name));
    unsaid.chain(twice).chain(unknown.map(|name| format!("{place}: nothing reads `{name}`"))).collect()
}

/// Variables of a file with `${NAME:-default}`, each with its default.
fn of_yaml(file: &str, yaml: &str) -> Outcome<String> {
    let entries = of(entries::of_yaml(yaml));
    let used = substitutions(yaml);
    let names: Vec<String> = used.iter().map(|(name, _)| name.clone()).collect();
    all_said(&find_faults(file, &names, &entries))?;
    let mut text = head(&["variable", "meaning", "default"]);
    for entry in &entries {
        let defaults = entry.names.iter().filter_map(|name| Some(&used.iter().find(|(known, _)| known == name)?.1));
        let defaults: Vec<_> = defaults.filter(|default| !default.is_empty()).map(|d| format!("`{d}`")).collect();
        text.push_str(&row(&[&entry.title(), &entry.text, &defaults.join(", ")]));
    }
    Ok(text)
}

/// Names and defaults, each name once; of `#if NAME` without a default.
fn substitutions(yaml: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, default: &str| {
        if name.starts_with(PREFIXES[0]) && !found.iter().any(|(known, _)| known == name) {
            found.push((name.to_owned(), default.to_owned()));
        }
    };
    for line in yaml.lines() {
        if let Some(name) = line.trim().strip_prefix("#if ") {
            add(name, "");
        }
        for rest in line.split("${").skip(1) {
            let inside = rest.split('}').next().unwrap_or_default();
            let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
            add(name.split([':', '-', '?']).next().unwrap_or_default(), default);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_is_said_of_is_named_and_so_is_one_that_nothing_reads() {
        let code = "pub const A: &str = \"LINKGATE_A\";\nconst B: &str =\n    \"LINKGATE_B\";\nconst P: &str = \"LINKGATE_\";\nfn f() { g(\"LINKGATE_X\"); }\n/// `LINKGATE_A`: is said.\n/// `LINKGATE_C`: is gone.\n";
        assert_eq!(constants(code), ["LINKGATE_A", "LINKGATE_B"]);
        let faults = find_faults("x", &constants(code), &of(entries::of_code(code)));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("say what `LINKGATE_B` is") && faults[1].contains("nothing reads `LINKGATE_C`"));
    }

    #[test]
    fn defaults_are_those_of_the_file() {
        let yaml = "# - `LINKGATE_A`, `LINKGATE_B`: both.\n# - `LINKGATE_C`: a folder.\na: ${LINKGATE_A:-1}\nb: \"${LINKGATE_B:-2}${LINKGATE_A:-1}\"\n#if LINKGATE_C\n";
        let text = of_yaml("x", yaml).unwrap();
        assert!(text.contains("| `LINKGATE_A`, `LINKGATE_B` | both. | `1`, `2` |\n"), "{text}");
        assert!(text.contains("| `LINKGATE_C` | a folder. |  |\n"), "{text}");
        assert!(of_yaml("x", "a: ${LINKGATE_D:-1}\n").is_err());
    }
}
