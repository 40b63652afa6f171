//! What a run of the tests costs: time on the clock and on processors, and the slowest tests.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many of the slowest tests are named.
const SLOWEST: usize = 10;
/// Linux shows times of processes in hundredths of a second, whatever it counts in.
const TICK: Duration = Duration::from_millis(10);

/// A test, and how long it took.
#[derive(Debug, PartialEq)]
pub struct TestTime {
    name: String,
    seconds: f64,
}

/// Counts from its start.
pub struct Meter {
    begun: Instant,
    cpu: Option<Duration>,
}

impl Meter {
    /// Begins.
    pub fn start() -> Self {
        Self { begun: Instant::now(), cpu: cpu_of_children() }
    }

    /// What has passed since, in words.
    pub fn report(&self, tests: &[TestTime]) -> String {
        let mut text = String::new();
        let mut sorted: Vec<&TestTime> = tests.iter().collect();
        sorted.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        if !sorted.is_empty() {
            text.push_str("\nThe slowest tests:\n");
        }
        for test in sorted.iter().take(SLOWEST) {
            let _infallible = writeln!(text, "{:>8.1} s  {}", test.seconds, test.name);
        }
        let _infallible = write!(text, "The tests took {:.0} s", self.begun.elapsed().as_secs_f64());
        if let (Some(before), Some(now)) = (self.cpu, cpu_of_children()) {
            let _infallible = write!(text, ", and {:.0} s on processors", now.saturating_sub(before).as_secs_f64());
        }
        text.push('.');
        text
    }
}

/// User and system time of all children that have ended, and theirs. Only Linux is asked.
fn cpu_of_children() -> Option<Duration> {
    children_in(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn children_in(stat: &str) -> Option<Duration> {
    // The name before it may hold blanks.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13).map(str::parse::<u32>);
    Some(TICK * fields.next()?.ok()?.checked_add(fields.next()?.ok()?)?)
}

/// The tests in the test runner's report; none if there is no report.
pub fn times(report: &Path) -> Vec<TestTime> {
    fs::read_to_string(report).map(|text| times_in(&text)).unwrap_or_default()
}

fn times_in(report: &str) -> Vec<TestTime> {
    report.split("<testcase ").skip(1).filter_map(test_time).collect()
}

fn test_time(element: &str) -> Option<TestTime> {
    let (attributes, _) = element.split_once('>')?;
    let value = |name: &str| {
        let mut values = attributes.split("\" ").filter_map(|attribute| attribute.trim_matches('/').split_once("=\""));
        values.find_map(|(key, value)| (key == name).then_some(value.trim_end_matches('"')))
    };
    let name = format!("{} {}", value("classname")?, value("name")?);
    Some(TestTime { name, seconds: value("time")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="2" failures="0" errors="0" uuid="0" timestamp="2026-01-01T00:00:00Z" time="3.2">
    <testsuite name="linkgate-tests::store" tests="2" disabled="0" errors="0" failures="0">
        <testcase name="gc::nothing" classname="linkgate-tests::store" timestamp="2026-01-01T00:00:00Z" time="0.250"/>
        <testcase name="gc::more" classname="linkgate-tests::store" timestamp="2026-01-01T00:00:00Z" time="12.000">
            <system-out>time="9"</system-out>
        </testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn the_slowest_tests_come_first() {
        let report = Meter::start().report(&times_in(REPORT));
        let lines: Vec<&str> = report.lines().collect();
        assert_eq!(lines[1], "The slowest tests:");
        assert_eq!(
            lines[2..4],
            ["    12.0 s  linkgate-tests::store gc::more", "     0.2 s  linkgate-tests::store gc::nothing"]
        );
        assert!(lines[4].starts_with("The tests took "), "{report}");
    }

    #[test]
    fn without_a_report_no_test_is_named() {
        assert_eq!(times(Path::new("/nowhere/junit.xml")), []);
        assert!(Meter::start().report(&[]).starts_with("The tests took"));
    }

    #[test]
    fn times_of_children_are_read_behind_a_name_with_blanks() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 11 12 250 50 20 0 1 0 9";
        assert_eq!(children_in(stat), Some(Duration::from_secs(3)));
        assert_eq!(children_in("nonsense"), None);
    }
}
