//! The files of quotas and of retention rules.
//!
//! Promises: a fault is told with its line. Refuses unknown keys, and what could only be meant otherwise: a rule that keeps nothing,
//! two rules of one name.

use std::path::Path;

use linkgate_fetch::SharedList;
use linkgate_store_core::settings::{
    Patterns, Quota, QuotaLimits, QuotaRule, QuotaRules, RetentionMode, RetentionOrder, RetentionRule, RetentionRules,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::BadConfig;
use super::vars::{Reader, Vars};

/// `LINKGATE_QUOTA_FILE`: quotas of single targets, in the place of these. Read again at SIGHUP as the rules are.
/// Default none.
pub(super) const QUOTA_FILE: &str = "LINKGATE_QUOTA_FILE";
/// `LINKGATE_QUOTA_MODULE_MAX_PACKAGES`: packages of a module. 0: no limit. Default 0.
pub(super) const MODULE_MAX_PACKAGES: &str = "LINKGATE_QUOTA_MODULE_MAX_PACKAGES";
/// `LINKGATE_QUOTA_MODULE_MAX_BYTES`: bytes of a module. 0: no limit. Default 0.
pub(super) const MODULE_MAX_BYTES: &str = "LINKGATE_QUOTA_MODULE_MAX_BYTES";
/// `LINKGATE_QUOTA_APP_MAX_PACKAGES`: packages of an application. 0: no limit. Default 0.
pub(super) const APP_MAX_PACKAGES: &str = "LINKGATE_QUOTA_APP_MAX_PACKAGES";
/// `LINKGATE_QUOTA_APP_MAX_BYTES`: bytes of an application. 0: no limit. Default 0.
pub(super) const APP_MAX_BYTES: &str = "LINKGATE_QUOTA_APP_MAX_BYTES";
/// `LINKGATE_QUOTA_MAX_PACKAGE_BYTES`: how many bytes a package may have. Bytes; 0: no limit. Default `0`.
pub(super) const MAX_PACKAGE_BYTES: &str = "LINKGATE_QUOTA_MAX_PACKAGE_BYTES";
/// `LINKGATE_RETENTION_FILE`: rules by which packages are deleted by and by. Read again at SIGHUP; if anything is
/// wrong then, the store logs that and the rules stay as they were. Default: none, and nothing is deleted.
pub(super) const RETENTION_FILE: &str = "LINKGATE_RETENTION_FILE";

/// Each is compared with each module.
const MAX_RULES: usize = 1_000;
const DAY_MS: i64 = 86_400_000;
/// A hundred years; the clock of a computer goes no further back.
const MAX_DAYS: i64 = 36_500;

/// Reads the rules of both files alone.
///
/// # Errors
/// [`BadConfig`] says what cannot be used.
pub fn rules_from_vars(vars: &impl Vars) -> Result<(QuotaRules, RetentionRules), BadConfig> {
    let mut reader = Reader::new(vars);
    let rules = (read_quotas(&mut reader), read_retention(&mut reader));
    reader.finish(rules)
}

pub(super) fn read_quotas(reader: &mut Reader<'_, impl Vars>) -> QuotaRules {
    let mut limit = |name| Some(reader.number(name, 0_u64, 0..=1 << 62)).filter(|limit| *limit > 0);
    let module = QuotaLimits { max_packages: limit(MODULE_MAX_PACKAGES), max_bytes: limit(MODULE_MAX_BYTES) };
    let application = QuotaLimits { max_packages: limit(APP_MAX_PACKAGES), max_bytes: limit(APP_MAX_BYTES) };
    let general = Quota { module, application, max_package_bytes: limit(MAX_PACKAGE_BYTES) };
    QuotaRules { general, rules: read_list(reader, QUOTA_FILE, parse_quotas) }
}

pub(super) fn read_retention(reader: &mut Reader<'_, impl Vars>) -> RetentionRules {
    read_list(reader, RETENTION_FILE, parse_retention)
}

fn read_list<T>(
    reader: &mut Reader<'_, impl Vars>,
    name: &str,
    parse: fn(&str) -> Result<Vec<T>, String>,
) -> SharedList<T> {
    let Some(path) = reader.read_text(name) else { return SharedList::default() };
    let text = std::fs::read_to_string(Path::new(&path)).map_err(|e| format!("cannot be read: {e}"));
    match text.and_then(|text| parse(&text)) {
        Ok(list) => list.into(),
        Err(fault) => {
            reader.fault(name, format!("names {path}, which {fault}"));
            SharedList::default()
        }
    }
}

/// The parser's message opens with the line and the column and shows the place.
fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|e| format!("is wrong: {}", e.to_string().trim_end()))
}

fn at_line<T>(text: &str, place: &Spanned<T>, fault: &str) -> String {
    let line = text.get(..place.span().start).unwrap_or_default().matches('\n').count() + 1;
    format!("is wrong at line {line}: {fault}")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaFile {
    #[serde(default)]
    quotas: Vec<Spanned<QuotaEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaEntry {
    targets: Vec<String>,
    #[serde(default)]
    modules: Option<Vec<String>>,
    #[serde(default)]
    module: LimitsEntry,
    #[serde(default)]
    application: LimitsEntry,
    max_package_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    max_packages: Option<u64>,
    max_bytes: Option<u64>,
}

impl From<LimitsEntry> for QuotaLimits {
    fn from(LimitsEntry { max_packages, max_bytes }: LimitsEntry) -> Self {
        Self { max_packages, max_bytes }
    }
}

fn parse_quotas(text: &str) -> Result<Vec<QuotaRule>, String> {
    let file: QuotaFile = parse_toml(text)?;
    if file.quotas.len() > MAX_RULES {
        return Err(format!("lists more than {MAX_RULES} quotas"));
    }
    let mut rules = Vec::new();
    for entry in file.quotas {
        if entry.get_ref().targets.is_empty() {
            return Err(at_line(text, &entry, "`targets` is empty, so the quota is for nobody"));
        }
        let QuotaEntry { targets, modules, module, application, max_package_bytes } = entry.into_inner();
        let quota = Quota { module: module.into(), application: application.into(), max_package_bytes };
        rules.push(QuotaRule { targets: patterns(Some(&targets)), modules: patterns(modules.as_deref()), quota });
    }
    Ok(rules)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionFile {
    #[serde(default)]
    rules: Vec<RetentionEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionEntry {
    name: Spanned<String>,
    targets: Spanned<Vec<String>>,
    #[serde(default)]
    modules: Option<Vec<String>>,
    #[serde(default)]
    mode: Mode,
    keep_last: Spanned<u64>,
    #[serde(default)]
    remove_after_days: Option<Spanned<i64>>,
    #[serde(default)]
    keep_versions: Vec<String>,
    #[serde(default)]
    remove_versions: Option<Vec<String>>,
    #[serde(default)]
    order: Order,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Report,
    Enforce,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Updated,
    Created,
    Version,
}

fn parse_retention(text: &str) -> Result<Vec<RetentionRule>, String> {
    let file: RetentionFile = parse_toml(text)?;
    if file.rules.len() > MAX_RULES {
        return Err(format!("lists more than {MAX_RULES} rules"));
    }
    let mut rules: Vec<RetentionRule> = Vec::new();
    for entry in file.rules {
        let name = entry.name.get_ref();
        if !is_rule_name(name) {
            let fault = format!("name `{name}` must have 1 to 64 characters of a-z, A-Z, 0-9, '.', '_' and '-'");
            return Err(at_line(text, &entry.name, &fault));
        }
        if rules.iter().any(|rule| rule.name == *name) {
            return Err(at_line(text, &entry.name, &format!("the rule `{name}` is there already")));
        }
        rules.push(read_rule(text, entry)?);
    }
    Ok(rules)
}

fn read_rule(text: &str, entry: RetentionEntry) -> Result<RetentionRule, String> {
    if entry.targets.get_ref().is_empty() {
        return Err(at_line(text, &entry.targets, "`targets` is empty, so the rule is for nobody"));
    }
    if *entry.keep_last.get_ref() == 0 {
        return Err(at_line(text, &entry.keep_last, "`keep_last` is 0, so a module could lose all of its packages"));
    }
    let days = entry.remove_after_days.as_ref().map_or(0, |days| *days.get_ref());
    if let Some(place) = entry.remove_after_days.as_ref().filter(|_| !(0..=MAX_DAYS).contains(&days)) {
        return Err(at_line(text, place, &format!("`remove_after_days` must be from 0 to {MAX_DAYS}")));
    }
    Ok(RetentionRule {
        name: entry.name.into_inner(),
        targets: patterns(Some(entry.targets.get_ref())),
        modules: patterns(entry.modules.as_deref()),
        mode: match entry.mode {
            Mode::Report => RetentionMode::Report,
            Mode::Enforce => RetentionMode::Enforce,
        },
        keep_last: entry.keep_last.into_inner(),
        remove_after_ms: days * DAY_MS,
        keep_versions: Patterns::new(entry.keep_versions.iter().map(String::as_str)),
        remove_versions: patterns(entry.remove_versions.as_deref()),
        order: match entry.order {
            Order::Updated => RetentionOrder::Updated,
            Order::Created => RetentionOrder::Created,
            Order::Version => RetentionOrder::Version,
        },
    })
}

/// It stands in events, log lines and labels.
fn is_rule_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}

/// What is left out is everything.
fn patterns(texts: Option<&[String]>) -> Patterns {
    texts.map_or_else(Patterns::any, |texts| Patterns::new(texts.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "[[rules]]\nname = \"nightly\"\ntargets = [\"shop*\"]\nkeep_last = 3\n";

    #[test]
    fn a_rule_says_what_it_keeps_and_the_rest_has_defaults() {
        let text = format!(
            "{RULE}\n[[rules]]\nname = \"all\"\ntargets = [\"*\"]\nmodules = [\"web\"]\nmode = \"enforce\"\nkeep_last = 1\nremove_after_days = 30\nkeep_versions = [\"release-*\"]\nremove_versions = [\"*-rc\"]\norder = \"created\"\n"
        );
        let rules = parse_retention(&text).unwrap();
        let (first, second) = (&rules[0], &rules[1]);
        assert_eq!(
            (first.mode, first.order, first.remove_after_ms),
            (RetentionMode::Report, RetentionOrder::Updated, 0)
        );
        assert!(first.targets.matches("shop-1") && first.modules.matches("any") && first.remove_versions.matches("1"));
        assert!(!first.keep_versions.matches("1"));
        assert_eq!((second.mode, second.order), (RetentionMode::Enforce, RetentionOrder::Created));
        assert_eq!((second.keep_last, second.remove_after_ms), (1, 30 * DAY_MS));
        assert!(second.keep_versions.matches("release-1") && !second.remove_versions.matches("1"));
        assert!(parse_retention("").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_rule_is_named_with_its_line() {
        let with = |from: &str, to: &str| RULE.replace(from, to);
        for (text, want) in [
            (with("keep_last = 3", "keep_last = 0"), "line 4: `keep_last` is 0"),
            (with("keep_last = 3\n", ""), "keep_last"),
            (with("\"nightly\"", "\"a b\""), "line 2: name `a b`"),
            (RULE.repeat(2), "line 6: the rule `nightly` is there already"),
            (with("[\"shop*\"]", "[]"), "line 3: `targets` is empty"),
            (format!("{RULE}remove_after_days = -1\n"), "line 5: `remove_after_days`"),
            (format!("{RULE}mode = \"delete\"\n"), "line 5"),
            (format!("{RULE}order = \"size\"\n"), "line 5"),
            (format!("{RULE}keep = 1\n"), "line 5"),
        ] {
            let fault = parse_retention(&text).unwrap_err();
            assert!(fault.contains(want), "{want} in {fault}");
        }
    }

    #[test]
    fn a_quota_names_its_limits_and_a_wrong_one_its_line() {
        let text = "[[quotas]]\ntargets = [\"shop\"]\nmodule.max_packages = 5\napplication.max_bytes = 7\nmax_package_bytes = 3\n";
        let rules = parse_quotas(text).unwrap();
        let quota = rules[0].quota;
        assert_eq!((quota.module.max_packages, quota.module.max_bytes), (Some(5), None));
        assert_eq!((quota.application.max_bytes, quota.max_package_bytes), (Some(7), Some(3)));
        assert!(parse_quotas("[[quotas]]\ntargets = []\n").unwrap_err().contains("line 1: `targets` is empty"));
        let unknown = parse_quotas("[[quotas]]\ntargets = [\"a\"]\nmodule.max = 1\n").unwrap_err();
        assert!(unknown.contains("line 3"), "{unknown}");
    }
}
