//! Results on standard output: tables for people, JSON for programs.
//!
//! Promises: JSON is what the API replies, field by field (docs/CLI.md); no control character of what others wrote
//! reaches a terminal.

use std::io::Write as _;

use serde::Serialize;

use super::failure::Failure;

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
}

impl Output {
    /// Prints a document: as JSON, or as lines of a name and a value.
    pub fn print(self, document: &impl Serialize, rows: &[(&str, String)]) -> Result<(), Failure> {
        if self.json { print_json(document) } else { print_text(&describe(rows)) }
    }

    /// Prints a list: as JSON, or as a table.
    pub fn print_table(self, document: &impl Serialize, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        if self.json { print_json(document) } else { print_text(&lay_out(head, rows)) }
    }
}

/// Prints a document, on one line for each level, with a line break at its end.
pub fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Failure::usage(error.to_string()))?;
    print_text(&(text + "\n"))
}

/// Prints as it is.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads the first lines only, as `head` does, has what they wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::usage(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// `name: value`, one below the other.
fn describe(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    rows.iter().map(|(name, value)| format!("{:<width$} {}\n", format!("{name}:"), safe(value))).collect()
}

/// Columns as wide as what is in them.
fn lay_out(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| safe(cell)).collect()).collect();
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let all = || std::iter::once(&head).chain(&rows);
    let width_of = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width_of(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    all().map(line).collect()
}

/// Names and messages come from others; what a terminal would obey is shown as what it is.
pub fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// A value that may be absent.
pub fn or_dash(value: Option<&(impl ToString + ?Sized)>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// Bytes as people read them; what is no number stays as it is.
pub fn bytes(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |bytes| indicatif::HumanBytes(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = vec![vec!["1".to_owned(), "版本".to_owned()], vec!["10".to_owned(), String::new()]];
        assert_eq!(lay_out(&["ID", "VERSION"], &rows), "ID  VERSION\n1   版本\n10\n");
        assert_eq!(describe(&[("id", "1".to_owned()), ("version", "2".to_owned())]), "id:      1\nversion: 2\n");
    }

    #[test]
    fn no_terminal_obeys_what_others_wrote() {
        assert_eq!(safe("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(safe("版 é"), "版 é");
    }

    #[test]
    fn bytes_are_read_by_people() {
        assert_eq!((bytes("1048576").as_str(), bytes("many").as_str()), ("1.00 MiB", "many"));
    }
}
