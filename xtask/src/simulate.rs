//! `cargo xtask simulate replicas`: how far stores that share a database and a bucket get, and what holds them up.
//!
//! Promises: the same flags give the same table, everywhere. Costs are measured (`costs`), machines are assumed and can be named
//! otherwise; it says nothing about what it leaves out: other work of the database, networks but for the round trip, failures.

mod costs;
mod engine;
mod model;

use clap::{Args, Subcommand};

use crate::error::{Failure, Outcome};
use costs::{Assumed, built};
use model::{Figures, simulate as run};

/// Of its time, from which on somebody counts as what holds the others up.
const BUSY: f64 = 0.9;
const MB: f64 = 1e6;

/// What to simulate.
#[derive(Subcommand)]
pub enum Simulate {
    /// Stores that share a database and a bucket
    Replicas(Options),
}

/// Flags of `replicas`.
#[derive(Args)]
pub struct Options {
    /// How many stores there are; may be given several times
    #[arg(long, default_values_t = [1, 3, 10, 30, 100, 300, 1_000], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    stores: Vec<u32>,
    /// The size of a package; may be given several times
    #[arg(long, default_values_t = [64, 1], value_parser = clap::value_parser!(u32).range(1..=65_536))]
    mib: Vec<u32>,
    /// What one connection to a source gives, in MB/s
    #[arg(long, default_value_t = 10.0, value_parser = positive)]
    source_rate: f64,
    /// What the bucket takes in all, in MB/s
    #[arg(long, default_value_t = 1_250.0, value_parser = positive)]
    bucket_rate: f64,
    /// Processors of the database
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1_024))]
    database_cores: u32,
    /// A journey to the database and back, in ms
    #[arg(long, default_value_t = 0.3, value_parser = positive)]
    trip: f64,
    /// Until a commit is durable, in ms
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    flush: f64,
    /// Uploads that run at once, of all stores together
    #[arg(long, default_value_t = built::MOST_UPLOADS)]
    most_uploads: u64,
    /// The time that is simulated, in seconds, and as much before it
    #[arg(long, default_value_t = 300.0, value_parser = positive)]
    seconds: f64,
    /// Where random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0 is needed".to_owned())
}

/// Simulates.
pub fn simulate(task: &Simulate) -> Outcome<()> {
    let Simulate::Replicas(options) = task;
    for mib in &options.mib {
        println!("packages of {mib} MiB\n{}", heading());
        for stores in &options.stores {
            let assumed = options.assume(f64::from(*mib) * built::MIB);
            let stores = usize::try_from(*stores).map_err(|e| Failure::new(format!("so many stores: {e}")))?;
            println!("{}", row(&run(&assumed, stores, options.seed, options.seconds), &assumed));
        }
        println!();
    }
    let idle = Assumed { callers_per_store: 0, ..options.assume(built::MIB) };
    println!("stores that nobody uploads to\n{}", heading());
    for stores in &options.stores {
        let figures = run(&idle, *stores as usize, options.seed, options.seconds);
        println!("{}", row(&figures, &idle));
    }
    Ok(())
}

impl Options {
    fn assume(&self, package: f64) -> Assumed {
        Assumed {
            package,
            source_rate: self.source_rate * MB,
            bucket_rate: self.bucket_rate * MB,
            database_cores: self.database_cores,
            trip: self.trip / 1e3,
            flush: self.flush / 1e3,
            most_uploads: self.most_uploads,
            ..Assumed::default()
        }
    }
}

fn heading() -> String {
    "| stores | uploads/s | MB/s | queue lock | database | bucket | store CPUs | places | connections | held up by |\n\
     |---|---|---|---|---|---|---|---|---|---|"
        .to_owned()
}

fn row(figures: &Figures, assumed: &Assumed) -> String {
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    format!(
        "| {} | {:.1} | {:.0} | {} | {} | {} | {} | {} | {} | {} |",
        figures.stores,
        figures.uploads,
        figures.uploads * assumed.package / MB,
        percent(figures.lock),
        percent(figures.database),
        percent(figures.bucket),
        percent(figures.stores_cpu),
        percent(figures.places),
        figures.stores as u64 * built::CONNECTIONS,
        held_up_by(figures),
    )
}

fn held_up_by(figures: &Figures) -> String {
    let parts = [
        (figures.lock, "lock of the queue"),
        (figures.database, "processors of the database"),
        (figures.bucket, "bucket"),
        (figures.stores_cpu, "processors of the stores"),
    ];
    let busy: Vec<_> = parts.into_iter().filter(|(part, _)| *part >= BUSY).map(|(_, name)| name).collect();
    match busy.as_slice() {
        // All that run are as fast as their sources.
        [] if figures.places >= BUSY => "rate of the sources".to_owned(),
        [] => "nothing".to_owned(),
        _ => busy.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_are_busy_are_named_and_sources_where_nobody_is() {
        let figures = |lock, bucket, places| Figures {
            stores: 1,
            uploads: 1.0,
            lock,
            database: 0.1,
            bucket,
            stores_cpu: 0.2,
            places,
        };
        assert_eq!(held_up_by(&figures(0.95, 0.95, 1.0)), "lock of the queue, bucket");
        assert_eq!(held_up_by(&figures(0.1, 0.95, 1.0)), "bucket");
        assert_eq!(held_up_by(&figures(0.1, 0.2, 1.0)), "rate of the sources");
        assert_eq!(held_up_by(&figures(0.1, 0.2, 0.3)), "nothing");
    }
}
