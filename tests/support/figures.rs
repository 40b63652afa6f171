//! The figures of a bench, for whoever draws them: a line of JSON for each bar of a chart, in the file that
//! `LINKGATE_BENCH_FIGURES` names, as `cargo xtask bench all` does. Where it names none, nothing is written.

use std::fs::File;
use std::io::Write as _;

use serde_json::json;

/// A picture with a bar for each of those who are compared.
pub struct Chart {
    /// What its file is called.
    pub name: String,
    /// What is shown.
    pub title: String,
    /// In what it is measured.
    pub unit: &'static str,
}

impl Chart {
    /// A chart without bars.
    #[must_use]
    pub fn new(name: impl Into<String>, title: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), title: title.into(), unit }
    }

    /// One of Linkgate's own: what was measured in each round, of which the median is shown and how far the others lie.
    pub fn ours(&self, label: &str, rounds: impl IntoIterator<Item = f64>) {
        self.bar(label, true, rounds);
    }

    /// One of the peers.
    pub fn peer(&self, label: &str, rounds: impl IntoIterator<Item = f64>) {
        self.bar(label, false, rounds);
    }

    /// One of either.
    pub fn bar(&self, label: &str, is_ours: bool, rounds: impl IntoIterator<Item = f64>) {
        let Some(file) = std::env::var_os("LINKGATE_BENCH_FIGURES") else { return };
        let rounds: Vec<f64> = rounds.into_iter().collect();
        let bar = json!({
            "chart": self.name,
            "title": self.title,
            "unit": self.unit,
            "label": label,
            "ours": is_ours,
            "rounds": rounds,
        });
        let mut file = File::options().create(true).append(true).open(file).unwrap();
        writeln!(file, "{bar}").unwrap();
    }
}
