//! `linkgate envoy render`: fills in an Envoy configuration from the environment.
//!
//! Promises: `${LINKGATE_NAME}` and `${LINKGATE_NAME:-default}` are replaced, an unset or empty variable takes the
//! default; the lines `#| …` between `#if LINKGATE_NAME` and `#end` lose their marker if that variable is set, and stay
//! comments if not; every other `$` and every other comment stays as it is. Refuses values that could change the shape of
//! YAML: only letters, digits and `._:/@-`.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, absolute};

use crate::certificates::{self, GATEWAY};
use crate::error::Error;
use crate::files::{self, Existing, write_atomically};

/// Variables of other programs are none of ours.
const PREFIX: &str = "LINKGATE_";
/// The folder of the rendered file, which nobody sets: files for Envoy that belong to it lie beside it.
const RENDERED_DIR: &str = "LINKGATE_RENDERED_DIR";
/// Where the gateway listens for callers.
const ADDRESS: &str = "LINKGATE_GATEWAY_ADDRESS";
/// What turns HTTP/3 on.
const HTTP3: &str = "LINKGATE_GATEWAY_HTTP3_PORT";

/// What the environment says of a variable; an empty value counts as not given.
pub fn from_environment(name: &str) -> Option<String> {
    let value = std::env::var_os(name).as_deref().map(OsStr::to_string_lossy).map(String::from);
    value.filter(|value| !value.is_empty())
}

/// Renders a file to another one, or to the text that is returned. With another one it also writes what tells Envoy where
/// its certificates are.
pub fn render_file(file: &Path, to: Option<&Path>) -> Result<String, Error> {
    let text = files::read_text(file)?;
    refuse_http3_in_clear(&from_environment)?;
    let folder = to.map(folder_of).transpose()?;
    let environment = |name: &str| if name == RENDERED_DIR { folder.clone() } else { from_environment(name) };
    let name = file.display().to_string();
    let rendered = render(&text, &environment).map_err(|faults| {
        Error::Faults(faults.into_iter().map(|(line, message)| format!("{name}:{line}: {message}")).collect())
    })?;
    let Some(to) = to else { return Ok(rendered) };
    certificates::write_secrets(to, &from_environment)?;
    write_atomically(to, rendered.as_bytes(), 0o644, Existing::Replace)?;
    Ok(String::new())
}

/// Envoy would miss the certificate, and say so in other words.
fn refuse_http3_in_clear(environment: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    if environment(HTTP3).is_none() || environment(GATEWAY).is_some() {
        return Ok(());
    }
    Err(Error::Faults(vec![format!(
        "{HTTP3} is set and {GATEWAY} is not: HTTP/3 is always encrypted, so name the folder of the certificate as well"
    )]))
}

fn folder_of(to: &Path) -> Result<String, Error> {
    let path = absolute(to).map_err(|source| Error::file("find", to, source))?;
    let folder = path.parent().and_then(Path::to_str).map(str::to_owned);
    folder.ok_or_else(|| Error::PathNotText(to.to_owned()))
}

/// What to say of a gateway that reads credentials in the clear off a network; empty: nothing.
pub fn warn_of_plain_http(environment: &dyn Fn(&str) -> Option<String>) -> String {
    let address = environment(ADDRESS).unwrap_or_default();
    let is_of_this_machine = address.parse::<IpAddr>().map_or(true, |address| address.is_loopback());
    if is_of_this_machine || environment(GATEWAY).is_some() {
        return String::new();
    }
    format!(
        "warning: callers' credentials come in plain HTTP to {address}: set {GATEWAY} to have TLS, or let nothing but a \
         proxy with TLS reach it\n"
    )
}

/// The text with its variables replaced, or every fault with its line.
fn render(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<(usize, String)>> {
    let mut renderer = Renderer { environment, rendered: String::with_capacity(text.len()), part: None };
    let mut faults = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if let Err(message) = renderer.take(line, index + 1) {
            faults.push((index + 1, message));
        }
    }
    if let Some(part) = renderer.part {
        faults.push((part.line, "`#if` has no `#end`".to_owned()));
    }
    if faults.is_empty() { Ok(renderer.rendered) } else { Err(faults) }
}

struct Renderer<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    rendered: String,
    part: Option<Part>,
}

/// What stands between `#if` and `#end`.
#[derive(Clone, Copy)]
struct Part {
    line: usize,
    counts: bool,
}

impl Renderer<'_> {
    fn take(&mut self, line: &str, number: usize) -> Result<(), String> {
        let begun = line.trim_start();
        match (self.part, begun.strip_prefix("#if ")) {
            (None, Some(name)) => self.part = Some(Part { line: number, counts: self.is_set(name.trim())? }),
            (Some(_), Some(_)) => return Err("`#if` stands in another one".to_owned()),
            (None, None) if begun.trim_end() == "#end" => return Err("`#end` has no `#if`".to_owned()),
            (Some(_), None) if begun.trim_end() == "#end" => self.part = None,
            (part, None) => return self.take_text(line, begun, part),
        }
        self.rendered.push_str(line);
        Ok(())
    }

    fn is_set(&self, name: &str) -> Result<bool, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.starts_with(PREFIX) || !name.chars().all(is_name) {
            return Err(format!("`#if {name}`: write the name of a variable that begins with {PREFIX}"));
        }
        Ok((self.environment)(name).is_some_and(|value| !value.is_empty()))
    }

    fn take_text(&mut self, line: &str, begun: &str, part: Option<Part>) -> Result<(), String> {
        match (begun.strip_prefix("#|"), part) {
            (Some(_), None) => Err("`#|` stands outside of `#if` and `#end`".to_owned()),
            (None, Some(_)) if !begun.starts_with('#') => {
                Err("a line between `#if` and `#end` begins with `#|`, or is a comment".to_owned())
            }
            (Some(text), Some(Part { counts: true, .. })) => {
                self.rendered.push_str(&line[..line.len() - begun.len()]);
                render_line(text.strip_prefix(' ').unwrap_or(text), self.environment, &mut self.rendered)
            }
            _ if begun.starts_with('#') => {
                self.rendered.push_str(line);
                Ok(())
            }
            _ => render_line(line, self.environment, &mut self.rendered),
        }
    }
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
    let value = value.ok_or_else(|| explain_unset(name))?;
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    if value.is_empty() || !value.chars().all(harmless) {
        return Err(format!("{name} is {value:?}: only letters, digits and `._:/@-` are taken, at least one"));
    }
    Ok(value)
}

fn explain_unset(name: &str) -> String {
    match name {
        RENDERED_DIR => "files of Envoy's are written beside the rendered one: say where with --to".to_owned(),
        _ => format!("{name} is not set and has no default: set it in the environment"),
    }
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

    const PART: &str = "a: 1\n#if LINKGATE_DIR\n# why\n  #| b:\n  #|   c: ${LINKGATE_DIR}\n#end\nd: 2\n";

    #[test]
    fn a_part_counts_if_its_variable_is_set_and_is_a_comment_if_not() {
        let set = "a: 1\n#if LINKGATE_DIR\n# why\n  b:\n    c: /tls\n#end\nd: 2\n";
        assert_eq!(render(PART, &with(&[("LINKGATE_DIR", "/tls")])).as_deref(), Ok(set));
        for unset in [&[][..], &[("LINKGATE_DIR", "")]] {
            assert_eq!(render(PART, &with(unset)).as_deref(), Ok(PART));
        }
    }

    #[test]
    fn a_part_that_is_written_wrongly_is_named_with_its_line() {
        for (text, line, want) in [
            ("a: 1\n#if LINKGATE_A\n#| b: 2\n", 2, "`#if` has no `#end`"),
            ("a: 1\n#end\n", 2, "`#end` has no `#if`"),
            ("#| a: 1\n", 1, "`#|` stands outside"),
            ("#if LINKGATE_A\na: 1\n#end\n", 2, "begins with `#|`"),
            ("#if LINKGATE_A\n#if LINKGATE_B\n#end\n", 2, "stands in another one"),
            ("#if HOME\n#end\n", 1, "write the name of a variable that begins with LINKGATE_"),
            ("#if LINKGATE_A=1\n#end\n", 1, "write the name of a variable"),
        ] {
            let faults = render(text, &with(&[])).unwrap_err();
            assert_eq!(faults[0].0, line, "{text}");
            assert!(faults[0].1.contains(want), "{text}: {faults:?}");
        }
    }

    #[test]
    fn plain_http_is_warned_of_where_others_could_listen() {
        let warning = warn_of_plain_http(&with(&[(ADDRESS, "0.0.0.0")]));
        assert!(
            warning.starts_with("warning: ") && warning.contains("0.0.0.0: set LINKGATE_GATEWAY_TLS_DIR"),
            "{warning}"
        );
        for quiet in
            [&[][..], &[(ADDRESS, "127.0.0.1")], &[(ADDRESS, "::1")], &[(ADDRESS, "0.0.0.0"), (GATEWAY, "/tls")]]
        {
            assert_eq!(warn_of_plain_http(&with(quiet)), "");
        }
    }

    #[test]
    fn http_3_takes_a_certificate() {
        let error = refuse_http3_in_clear(&with(&[(HTTP3, "443")])).unwrap_err().to_string();
        assert!(error.contains(HTTP3) && error.contains("name the folder of the certificate"), "{error}");
        for good in [&[][..], &[(GATEWAY, "/tls")], &[(HTTP3, "443"), (GATEWAY, "/tls")]] {
            refuse_http3_in_clear(&with(good)).unwrap();
        }
    }

    #[test]
    fn a_value_that_could_change_the_yaml_is_refused() {
        for value in ["a b", "a\nb", "\"", "'", "a,b", "{x}", "#", "a\u{e9}", "$(x)", "a\\b", "\0"] {
            let environment = |_: &str| Some(value.to_owned());
            assert!(render("a: ${LINKGATE_A:-1}", &environment).is_err(), "{value:?}");
        }
    }
}
