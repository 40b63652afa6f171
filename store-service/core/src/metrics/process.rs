//! What the system says of the store's process, under the names that every client of Prometheus uses.
//!
//! Promises: it is read when somebody scrapes, and what cannot be read is left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

/// Linux counts CPU time for programs in hundredths of a second, whatever its own clock is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Collects when asked.
#[derive(Debug)]
pub(super) struct Process;

/// What `/proc` says of this process.
#[derive(Debug, Default, PartialEq)]
struct Sample {
    /// `process_cpu_seconds_total` (counter): time of the processors that the process took.
    cpu_seconds: Option<f64>,
    /// `process_threads` (gauge): threads.
    threads: Option<u64>,
    /// `process_start_time_seconds` (gauge): when it started, in seconds since 1970.
    start_seconds: Option<f64>,
    /// `process_resident_memory_bytes` (gauge): memory that it has.
    resident_bytes: Option<u64>,
    /// `process_virtual_memory_bytes` (gauge): memory that it has asked for.
    virtual_bytes: Option<u64>,
    /// `process_open_fds` (gauge): open file descriptors.
    open_fds: Option<u64>,
    /// `process_max_fds` (gauge): how many it may open.
    max_fds: Option<u64>,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sample = Sample::take();
        let mut put = |name: &str, help: &str, unit: Option<&Unit>, metric: &dyn Encode| {
            metric.encode_as(&mut encoder, name, help, unit)
        };
        let (bytes, seconds) = (Some(&Unit::Bytes), Some(&Unit::Seconds));
        if let Some(cpu) = sample.cpu_seconds {
            put("process_cpu", "CPU time of the process", seconds, &ConstCounter::new(cpu))?;
        }
        if let Some(start) = sample.start_seconds {
            put("process_start_time", "When the process started, since 1970", seconds, &ConstGauge::new(start))?;
        }
        for (name, help, unit, value) in [
            ("process_resident_memory", "Memory of the process", bytes, sample.resident_bytes),
            ("process_virtual_memory", "Addresses of the process", bytes, sample.virtual_bytes),
            ("process_open_fds", "Open descriptors of the process", None, sample.open_fds),
            ("process_max_fds", "Descriptors that the process may have", None, sample.max_fds),
            ("process_threads", "Threads of the process", None, sample.threads),
        ] {
            if let Some(value) = value {
                put(name, help, unit, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

/// A metric of whatever type, written down under a name.
trait Encode {
    fn encode_as(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), fmt::Error>;
}

impl<M: EncodeMetric> Encode for M {
    fn encode_as(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
    ) -> Result<(), fmt::Error> {
        let metric = encoder.encode_descriptor(name, help, unit, self.metric_type())?;
        self.encode(metric)
    }
}

impl Sample {
    fn take() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut sample = Self::parse(&read("/proc/self/stat"), &read("/proc/self/status"), &read("/proc/stat"));
        sample.open_fds = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
        sample.max_fds = getrlimit(Resource::Nofile).current;
        sample
    }

    fn parse(stat: &str, status: &str, system: &str) -> Self {
        // The program's name stands in brackets and may hold anything.
        let fields: Vec<_> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        // Numbered from 1 in the manual, and the first here is the third there.
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let kibibytes = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|number| number << 10)
        };
        let booted = system.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok());
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            threads: fields.get(17).and_then(|text| text.parse().ok()),
            start_seconds: booted.zip(field(22)).map(|(booted, after)| booted + after / TICKS_PER_SECOND),
            resident_bytes: kibibytes("VmRSS:"),
            virtual_bytes: kibibytes("VmSize:"),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 1000 9000000 200 18446744073709551615";
        let sample =
            Sample::parse(stat, "Name:\ta\nVmSize:\t  8192 kB\nVmRSS:\t  1024 kB\n", "cpu 1\nbtime 1700000000\n");
        assert_eq!(
            sample,
            Sample {
                cpu_seconds: Some(2.0),
                threads: Some(3),
                start_seconds: Some(1_700_000_010.0),
                resident_bytes: Some(1 << 20),
                virtual_bytes: Some(8 << 20),
                ..Sample::default()
            }
        );
        assert_eq!(Sample::parse("", "", ""), Sample::default());
    }
}
