//! `linkgate envoy render`: fills in an Envoy configuration from the environment.
//!
//! Promises: `${LINKGATE_NAME}` and `${LINKGATE_NAME:-default}` are replaced, an unset or empty variable takes the
//! default; every other `$` and every comment line stays as it is. Refuses values that could change the shape of YAML:
//! only letters, digits and `._:/@-`.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::Error;
use crate::files::{self, Existing, write_atomically};

/// Variables of other programs are none of ours.
const PREFIX: &str = "LINKGATE_";

/// Renders a file to another one, or to the text that is returned.
pub fn render_file(file: &Path, to: Option<&Path>) -> Result<String, Error> {
    let text = files::read_text(file)?;
    let environment = |name: &str| std::env::var_os(name).as_deref().map(OsStr::to_string_lossy).map(String::from);
    let name = file.display().to_string();
    let rendered = render(&text, &environment).map_err(|faults| {
        Error::Faults(faults.into_iter().map(|(line, message)| format!("{name}:{line}: {message}")).collect())
    })?;
    let Some(to) = to else { return Ok(rendered) };
    write_atomically(to, rendered.as_bytes(), 0o644, Existing::Replace)?;
    Ok(String::new())
}

/// The text with its variables replaced, or every fault with its line.
fn render(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<(usize, String)>> {
    let mut rendered = String::with_capacity(text.len());
    let mut faults = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_start().starts_with('#') {
            rendered.push_str(line);
            continue;
        }
        if let Err(message) = render_line(line, environment, &mut rendered) {
            faults.push((index + 1, message));
        }
    }
    if faults.is_empty() { Ok(rendered) } else { Err(faults) }
}

fn render_line(line: &str, environment: &dyn Fn(&str) -> Option<String>, out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let name_len = from[2..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, after) = from[2..].split_at(name_len);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        let (body, after) = after.split_once('}').ok_or_else(|| format!("`${{{name}` has no closing `}}`"))?;
        out.push_str(&resolve_value(name, body, environment)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

/// The value of one variable; `body` is what stands between its name and the closing brace.
fn resolve_value(name: &str, body: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if !name.starts_with(PREFIX) {
        return Err(format!("`{name}`: only variables whose names begin with {PREFIX} are filled in"));
    }
    let default = match body.strip_prefix(":-") {
        Some(default) => Some(default),
        None if body.is_empty() => None,
        None => return Err(format!("`{name}`: write `${{{name}}}` or `${{{name}:-default}}`")),
    };
    let set = environment(name).filter(|value| !value.is_empty());
    let value = set.or_else(|| default.map(str::to_owned));
    let value = value.ok_or_else(|| format!("{name} is not set and has no default: set it in the environment"))?;
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    if value.is_empty() || !value.chars().all(harmless) {
        return Err(format!("{name} is {value:?}: only letters, digits and `._:/@-` are taken, at least one"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        let environment = with(&[("LINKGATE_PORT", "8443"), ("LINKGATE_EMPTY", "")]);
        let cases = [
            ("port: ${LINKGATE_PORT}\n", "port: 8443\n"),
            ("port: ${LINKGATE_PORT:-8080}", "port: 8443"),
            ("a: ${LINKGATE_EMPTY:-127.0.0.1}:${LINKGATE_OTHER:-80}\n", "a: 127.0.0.1:80\n"),
            ("é ${LINKGATE_PORT}é", "é 8443é"),
        ];
        for (text, want) in cases {
            assert_eq!(render(text, &environment).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn other_dollars_and_comments_stay() {
        for text in ["regex: '^/a$'\n", "x: '^a${2}'\n", "$LINKGATE_PORT\n", "  # ${NAME:-default}\n", "${}", "${", "$"]
        {
            assert_eq!(render(text, &with(&[])).as_deref(), Ok(text));
        }
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        let text = "a: ${LINKGATE_A}\n# ${HOME}\nb: ${HOME}\nc: ${LINKGATE_C\nd: ${LINKGATE_D-x}\n";
        let faults = render(text, &with(&[])).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 3, 4, 5]);
        assert_eq!(faults[0].1, "LINKGATE_A is not set and has no default: set it in the environment");
    }

    #[test]
    fn a_value_that_could_change_the_yaml_is_refused() {
        for value in ["a b", "a\nb", "\"", "'", "a,b", "{x}", "#", "a\u{e9}", "$(x)", "a\\b", "\0"] {
            let environment = |_: &str| Some(value.to_owned());
            assert!(render("a: ${LINKGATE_A:-1}", &environment).is_err(), "{value:?}");
        }
    }
}
