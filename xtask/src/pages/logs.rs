//! `docs/reference/LOGS.md`: the fields of the access log, the lines of gate and store, and the spans of traces.

use super::entries;
use super::{Sources, all_said, begin, head, row};
use crate::error::Outcome;

const INTRODUCTION: &str = "\
What is logged, as the code says it. [LOGGING.md](../LOGGING.md) says where to look, and what is never logged. `…` stands for what
differs from line to line.";
const RECORD: &str = "filter/core/src/record.rs";
const RULES: &str = "filter/core/src/denied.rs";
const TRACES: &str = "store-service/core/src/trace.rs";
/// Calls that log, and their levels. The last is within a macro, for requests.
const CALLS: [(&str, &str); 4] =
    [("info!(", "info"), ("warn!(", "warn"), ("error!(", "error"), ("$level!(", "info or debug")];
const LEVELS: [(&str, &str); 3] = [("Level::Info", "info"), ("Level::Error", "error"), ("Level::Critical", "critical")];

/// A line of a log.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    level: &'static str,
    text: String,
    fields: Vec<String>,
}

pub(super) fn page(sources: &Sources<'_>) -> Outcome<String> {
    let mut text = begin("Logs", INTRODUCTION);
    text.push_str("\n## `gate` in the access log\n\nFields that are empty are left out.\n");
    text.push_str(&head(&["field", "meaning"]));
    let fields = fields(&sources.read_code(RECORD)?);
    let unsaid: Vec<_> = fields.iter().filter(|(_, says)| says.is_empty()).map(|(name, _)| name).collect();
    all_said(&unsaid.iter().map(|name| format!("{RECORD}: say what `{name}` is")).collect::<Vec<_>>())?;
    text.extend(fields.iter().map(|(name, says)| row(&[&format!("`{name}`"), says])));
    text.push_str("\n## `rule` in the access log\n");
    text.push_str(&head(&["rule", "what it is about", "answer"]));
    for entry in entries::of_code(&sources.read_code(RULES)?) {
        text.push_str(&row(&[&entry.title(), &entry.text, &entry.kind]));
    }
    text.push_str("\n## The gate, in Envoy's log\n");
    text.push_str(&table(&lines(sources, &["filter/src/"])?, false));
    text.push_str("\n## The store\n");
    text.push_str(&table(&lines(sources, &["store-service/"])?, true));
    text.push_str(&format!("\n## Spans\n{}", head(&["span", "parent", "attributes"])));
    for entry in entries::of_code(&sources.read_code(TRACES)?) {
        text.push_str(&row(&[&entry.title(), &entry.kind, &entry.text]));
    }
    Ok(text)
}

fn table(lines: &[Line], has_fields: bool) -> String {
    let mut text = head(if has_fields { &["level", "line", "fields"] } else { &["level", "line"] });
    for Line { level, text: line, fields } in lines {
        // Backticks within a line need more of them around it.
        let line = if line.contains('`') { format!("`` {line} ``") } else { format!("`{line}`") };
        let fields = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        text.push_str(&if has_fields { row(&[level, &line, &fields]) } else { row(&[level, &line]) });
    }
    text
}

/// Public fields of a structure, each with its comment.
fn fields(code: &str) -> Vec<(String, String)> {
    let (mut fields, mut says) = (Vec::new(), String::new());
    for line in code.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            says.push_str(if says.is_empty() { "" } else { " " });
            says.push_str(comment);
            continue;
        }
        let field = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": "));
        if let Some((name, _)) =
            field.filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        {
            fields.push((name.to_owned(), says.clone()));
        }
        says.clear();
    }
    fields
}

fn lines(sources: &Sources<'_>, folders: &[&str]) -> Outcome<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    for folder in folders {
        for file in sources.list_code(folder)? {
            for line in lines_of(&sources.read_code(&file)?) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
    }
    lines.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(lines)
}

/// Calls that log, by their first literal.
fn lines_of(code: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (call, level) in CALLS {
        for (at, _) in code.match_indices(call).filter(|(at, _)| is_whole(code, *at)) {
            lines.extend(line_of(level, arguments(&code[at + call.len()..])));
        }
    }
    for (at, call) in code.match_indices("line!(") {
        let arguments = arguments(&code[at + call.len()..]);
        let level = CALLS.iter().find(|(_, level)| arguments.trim_start().starts_with(level)).map_or("", |(_, l)| l);
        lines.extend(line_of(level, arguments).filter(|_| !level.is_empty()));
    }
    for (at, call) in code.match_indices("host::log(") {
        let arguments = arguments(&code[at + call.len()..]);
        let level = LEVELS.iter().find(|(name, _)| arguments.contains(name)).map_or("", |(_, level)| level);
        lines.extend(line_of(level, arguments));
    }
    lines
}

/// Whether no longer name ends here, nor is it within a comment.
fn is_whole(code: &str, at: usize) -> bool {
    let before = &code[..at];
    let line = before.rsplit('\n').next().unwrap_or_default();
    !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && !line.trim_start().starts_with("//")
}

/// What stands in the brackets that were opened just before.
fn arguments(code: &str) -> &str {
    let (mut depth, mut is_text, mut is_escaped) = (1_usize, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_text = !is_text,
            _ if is_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 1 => return &code[..at],
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    code
}

fn line_of(level: &'static str, arguments: &str) -> Option<Line> {
    let (before, rest) = arguments.split_once('"')?;
    let mut literal = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            // A break of the line within a literal takes the indent with it.
            '\\' => match chars.next()? {
                '\n' => {
                    let kept = chars.as_str().trim_start();
                    chars = kept.chars();
                }
                other => literal.push(other),
            },
            c => literal.push(c),
        }
    }
    let fields = before.split(',').filter_map(|part| Some(part.split_once('=')?.0.trim().to_owned()));
    let is_field = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b))
    };
    Some(Line { level, text: without_places(&literal), fields: fields.filter(is_field).collect() })
}

/// A literal with `…` for each place that something is put into.
fn without_places(literal: &str) -> String {
    let mut parts = literal.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.split_once('}') {
        Some((_, behind)) => format!("{text}…{behind}"),
        None => format!("{text}{part}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_log_are_found_with_their_fields() {
        let code = "fn f() {\n    info!(\"Begun\");\n    warn!(a.b = x, error = %e, \"Cannot do `{}`; \\\n        trying {again:?}\", y);\n    // error!(\"no\")\n    my_error!(\"no\");\n    host::log(Level::Critical, &format!(\"trapped at {place}\"));\n}";
        let line = |level, text: &str, fields: &[&str]| Line {
            level,
            text: text.to_owned(),
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        let lines = lines_of(code);
        assert!(lines.contains(&line("warn", "Cannot do `…`; trying …", &["a.b", "error"])), "{lines:?}");
        assert!(lines.contains(&line("critical", "trapped at …", &[])), "{lines:?}");
        assert_eq!(lines.len(), 3, "{lines:?}");
    }

    #[test]
    fn fields_are_those_of_the_structure() {
        let code = "/// All.\npub struct R {\n    /// The app,\n    /// as it is.\n    pub app: String,\n    pub user: String,\n}\nimpl R {\n    pub fn f(a: u8) {}\n}";
        let want = [("app", "The app, as it is."), ("user", "")];
        assert_eq!(fields(code), want.map(|(name, says)| (name.to_owned(), says.to_owned())));
    }
}
