//! Progress on standard error: bars on a terminal, lines elsewhere, JSON for programs, or nothing.
//!
//! Promises: nothing of it reaches standard output; a terminal that is dumb, or no terminal, gets plain lines without
//! control characters, few enough for a log.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::args::ProgressMode;

/// Between two lines about one transfer.
const EVERY: Duration = Duration::from_secs(5);
/// A terminal as narrow as this has no space for rate and time beside the bar.
const NARROW: u16 = 60;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Bar,
    Plain,
    Json,
    None,
}

impl Progress {
    /// What the caller wants, on this terminal.
    pub fn choose(mode: ProgressMode, quiet: bool, json: bool) -> Self {
        let term = std::env::var_os("TERM");
        let is_dumb = term.is_none_or(|term| term.is_empty() || term == "dumb");
        choose(mode, quiet, json, std::io::stderr().is_terminal() && !is_dumb)
    }

    /// Begins to show a transfer.
    pub fn begin(self, what: &str, total: Option<u64>) -> Transfer {
        let bar = (self == Self::Bar).then(|| make_bar(what, total));
        let line = Line { stage: String::new(), told: None, position: 0, total };
        let transfer = Transfer { shown: self, what: what.to_owned(), bar, line: Arc::new(Mutex::new(line)) };
        if total.is_some() {
            transfer.tell(true, None);
        }
        transfer
    }

    /// Says something that is no result.
    pub fn note(self, text: &str) {
        match self {
            Self::Bar | Self::Plain => eprint_line(text),
            Self::Json => eprint_line(&json!({ "note": text }).to_string()),
            Self::None => {}
        }
    }
}

fn choose(mode: ProgressMode, quiet: bool, json: bool, can_draw: bool) -> Progress {
    match mode {
        ProgressMode::None => Progress::None,
        ProgressMode::Bar => Progress::Bar,
        ProgressMode::Plain => Progress::Plain,
        ProgressMode::Json => Progress::Json,
        ProgressMode::Auto if quiet || json => Progress::None,
        ProgressMode::Auto if can_draw => Progress::Bar,
        ProgressMode::Auto => Progress::Plain,
    }
}

/// A transfer that is shown. Its clones are the same one.
#[derive(Clone)]
pub struct Transfer {
    shown: Progress,
    what: String,
    bar: Option<ProgressBar>,
    line: Arc<Mutex<Line>>,
}

struct Line {
    stage: String,
    told: Option<Instant>,
    position: u64,
    total: Option<u64>,
}

impl Transfer {
    /// How many bytes there are.
    pub fn set_position(&self, position: u64) {
        self.change(|line| line.position = position);
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
        self.tell(false, None);
    }

    /// How many bytes there will be, once that is known.
    pub fn set_total(&self, total: Option<u64>) {
        let is_new = self.change(|line| std::mem::replace(&mut line.total, total) != total);
        if let (Some(bar), Some(total), true) = (&self.bar, total, is_new) {
            bar.set_length(total);
            bar.set_style(style(Some(total)));
        }
    }

    /// What is done at present.
    pub fn set_stage(&self, stage: &str) {
        let is_new = self.change(|line| {
            let is_new = line.stage != stage;
            line.stage = stage.to_owned();
            is_new
        });
        if let (Some(bar), true) = (&self.bar, is_new) {
            bar.set_message(label(&self.what, stage));
        }
        if is_new {
            self.tell(true, None);
        }
    }

    /// Says something beside it.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprint_line(text)),
            None => self.shown.note(text),
        }
    }

    /// Ends it, with what came of it.
    pub fn finish(&self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(label(&self.what, outcome));
            bar.finish();
            eprint_line("");
        }
        self.tell(true, Some(outcome));
    }

    /// Ends it without a word: the error says what there is to say.
    pub fn abandon(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
            eprint_line("");
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Line) -> T) -> T {
        change(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes a line, unless one was written a moment ago and nothing is new.
    fn tell(&self, is_new: bool, outcome: Option<&str>) {
        if !matches!(self.shown, Progress::Plain | Progress::Json) {
            return;
        }
        let text = self.change(|line| {
            let is_due = is_new || line.told.is_none_or(|told| told.elapsed() >= EVERY);
            if !is_due {
                return None;
            }
            line.told = Some(Instant::now());
            Some(match self.shown {
                Progress::Json => line.to_json(&self.what, outcome).to_string(),
                _ => line.to_text(&self.what, outcome),
            })
        });
        if let Some(text) = text {
            eprint_line(&text);
        }
    }
}

impl Line {
    fn to_text(&self, what: &str, outcome: Option<&str>) -> String {
        let amount = match self.total {
            Some(total) => format!("{} of {}", HumanBytes(self.position), HumanBytes(total)),
            None => HumanBytes(self.position).to_string(),
        };
        format!("{}: {amount}", label(what, outcome.unwrap_or(&self.stage)))
    }

    fn to_json(&self, what: &str, outcome: Option<&str>) -> Value {
        json!({"progress": {
            "what": what,
            "stage": outcome.unwrap_or(&self.stage),
            "bytes": self.position,
            "total_bytes": self.total,
        }})
    }
}

fn label(what: &str, stage: &str) -> String {
    if stage.is_empty() { what.to_owned() } else { format!("{what} {stage}") }
}

fn make_bar(what: &str, total: Option<u64>) -> ProgressBar {
    // Ten times a second: enough for an eye, little for a slow line.
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(style(total));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// By whether the total is known, and whether the terminal is narrow.
const TEMPLATES: [(bool, bool, &str); 4] = [
    (true, false, "{msg} [{wide_bar}] {bytes}/{total_bytes} {percent}% {binary_bytes_per_sec} ETA {eta}"),
    (true, true, "{msg:20!} [{wide_bar}] {percent}%"),
    (false, false, "{spinner} {wide_msg} {bytes} {binary_bytes_per_sec}"),
    (false, true, "{spinner} {wide_msg} {bytes}"),
];

fn style(total: Option<u64>) -> ProgressStyle {
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col);
    let wanted = (total.is_some(), columns < NARROW);
    let found = TEMPLATES.iter().find(|(known, narrow, _)| (*known, *narrow) == wanted);
    let template = found.map_or("", |(_, _, text)| *text);
    // A test reads them all.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ").tick_chars("|/-\\ ")
}

/// Nobody is left to tell if standard error is closed.
fn eprint_line(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_a_bar_and_a_log_gets_lines() {
        for (mode, quiet, json, can_draw, expected) in [
            (ProgressMode::Auto, false, false, true, Progress::Bar),
            (ProgressMode::Auto, false, false, false, Progress::Plain),
            (ProgressMode::Auto, true, false, true, Progress::None),
            (ProgressMode::Auto, false, true, true, Progress::None),
            (ProgressMode::Plain, false, true, true, Progress::Plain),
            (ProgressMode::Json, true, true, false, Progress::Json),
            (ProgressMode::None, false, false, true, Progress::None),
        ] {
            assert_eq!(choose(mode, quiet, json, can_draw), expected, "{mode:?}");
        }
    }

    #[test]
    fn every_template_can_be_read() {
        for (_, _, template) in TEMPLATES {
            ProgressStyle::with_template(template).unwrap();
        }
        style(None);
        style(Some(1));
    }

    #[test]
    fn lines_say_stage_and_bytes() {
        let line = Line { stage: "fetching".to_owned(), told: None, position: 1 << 20, total: Some(4 << 20) };
        assert_eq!(line.to_text("a.tgz", None), "a.tgz fetching: 1.00 MiB of 4.00 MiB");
        assert_eq!(line.to_text("a.tgz", Some("done")), "a.tgz done: 1.00 MiB of 4.00 MiB");
        let json = line.to_json("a.tgz", None);
        assert_eq!(json["progress"]["bytes"], 1 << 20);
        assert_eq!(json["progress"]["stage"], "fetching");
    }
}
