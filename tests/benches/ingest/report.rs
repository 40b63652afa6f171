//! What came of it, for people.

use std::time::Duration;

use linkgate_tests::figures::Chart;
use linkgate_tests::measure::median;

use crate::minimum::Threads;
use crate::{Package, Place, scripts};

/// One transfer.
pub struct Measured {
    pub took: Duration,
    /// User and system time of whoever took the package in; the source's is not in it.
    pub cpu: Duration,
    /// The most memory that the store held.
    pub peak_kib: Option<u64>,
}

/// All transfers of one way.
pub struct Row {
    name: &'static str,
    pub rounds: Vec<Measured>,
}

impl Row {
    pub fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new() }
    }

    fn seconds(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.took.as_secs_f64()))
    }

    fn cpu_seconds(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.cpu.as_secs_f64()))
    }
}

pub fn print_head() {
    println!(
        "{:<8}{:<8}{:<28}{:>7}{:>14}{:>7}{:>10}{:>10}",
        "place", "package", "way", "MB/s", "(range)", "×", "CPU s/GiB", "peak MiB"
    );
}

/// The first row is the one that the others are held against.
pub fn print(place: &Place, package: &Package, rows: &[Row]) {
    let speed = |seconds: f64| package.bytes as f64 / 1e6 / seconds;
    let gib = package.bytes as f64 / f64::from(1 << 30);
    for row in rows {
        let speeds = || row.rounds.iter().map(|round| speed(round.took.as_secs_f64()));
        let (least, most) = (speeds().fold(f64::INFINITY, f64::min), speeds().fold(0.0, f64::max));
        let range = format!("({least:.0}–{most:.0})");
        let ratio = row.seconds() / rows[0].seconds();
        let cpu = row.cpu_seconds() / gib;
        let peak = row.rounds.iter().filter_map(|round| round.peak_kib).max();
        let peak = peak.map_or("–".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0));
        println!(
            "{:<8}{:<8}{:<28}{:>7.0}{range:>14}{ratio:>7.2}{cpu:>10.2}{peak:>10}",
            place.name,
            package.name,
            row.name,
            speed(row.seconds()),
        );
    }
}

/// What `cargo xtask bench all` shows of it.
pub fn draw(place: &Place, package: &Package, rows: &[Row]) {
    let (place, name) = (place.name, package.name);
    let (file, title) = (format!("{place}-{name}"), format!("How fast a package gets in: {name}, {place}"));
    let chart = Chart::new(file.replace('.', "-"), title, "MB/s");
    for row in rows {
        let speeds = row.rounds.iter().map(|round| package.bytes as f64 / 1e6 / round.took.as_secs_f64());
        chart.bar(row.name, row.name.starts_with("store"), speeds);
    }
}

/// What the store costs over the least that anybody must do, and how much faster it is than a pipeline, beside what it
/// should be.
pub fn print_targets(place: &Place, package: &Package, rows: &[Row]) {
    let row = |name: &str| rows.iter().find(|row| row.name == name);
    let (Some(store), Some(minimum)) = (row("store"), row(Threads::One.name())) else { return };
    let best = row(Threads::Two.name()).map_or(f64::INFINITY, Row::seconds).min(minimum.seconds());
    let verdict = |is_met: bool| if is_met { "met" } else { "MISSED" };
    let (cpu, wall) = (store.cpu_seconds() / minimum.cpu_seconds(), store.seconds() / best);
    println!(
        "{:<8}{:<8}CPU over the minimum in one thread: {cpu:.2} (at most 1.15: {}); time over the faster minimum: {wall:.2} (at most 1.25: {})",
        place.name,
        package.name,
        verdict(cpu <= 1.15),
        verdict(wall <= 1.25),
    );
    if let (true, Some(pipeline)) = (package.tls.is_some(), row(scripts::PIPELINE)) {
        let faster = pipeline.seconds() / store.seconds();
        println!(
            "{:<8}{:<8}speed over {}: {faster:.2} (at least 1.5: {})",
            place.name,
            package.name,
            scripts::PIPELINE,
            verdict(faster >= 1.5)
        );
    }
}
