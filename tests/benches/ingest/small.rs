//! Small packages, one after the other, by a caller who keeps his connection: what an upload costs that downloads next to
//! nothing, in clear and under TLS.

use std::path::Path;
use std::time::Duration;

use linkgate_tests::figures::Chart;
use linkgate_tests::measure::share;
use linkgate_tests::{Bulk, Certificates, Channel};

use crate::stores::Served;
use crate::{Package, behind_envoy};

const BYTES: u64 = 4 << 10;
/// What slows the machine down for a while slows all: they take turns of so many.
const TURN: u64 = 50;

/// One of those who are compared, and what it took so far.
struct Row {
    name: &'static str,
    served: Served,
    waited: Vec<Duration>,
    cpu: Duration,
}

/// Takes so many in by each way, and prints what came of it.
pub async fn measure(root: &Path, certificates: &Certificates, count: u64) {
    let package = Package::new("small", Bulk::opaque(BYTES, 0)).await;
    let mut rows = vec![Row::new("store", Served::alone(root, &package))];
    for channel in Channel::ALL {
        let served = Served::behind_envoy(root, &package, certificates, channel).await;
        rows.push(Row::new(behind_envoy(channel), served));
    }
    // One turn first that does not count: caches and connections.
    let turns = count.div_ceil(TURN);
    for turn in 0..=turns {
        for row in &mut rows {
            row.take_turn(&package, turn).await;
        }
    }
    println!(
        "\n{} packages of {} KiB, one after the other over a connection that is kept, in memory",
        turns * TURN,
        BYTES >> 10
    );
    println!("{:<28}{:>9}{:>11}{:>9}{:>9}", "way", "uploads/s", "median ms", "p99 ms", "CPU ms");
    rows.iter().for_each(Row::print);
    let chart = Chart::new("small", "What an upload of a small package takes, median and range of turns", "ms");
    rows.iter().for_each(|row| row.draw(&chart));
}

impl Row {
    fn new(name: &'static str, served: Served) -> Self {
        Self { name, served, waited: Vec::new(), cpu: Duration::ZERO }
    }

    async fn take_turn(&mut self, package: &Package, turn: u64) {
        let before = self.served.cpu();
        let mut waited = Vec::new();
        for number in 0..TURN {
            waited.push(self.served.upload(package, &format!("{turn}.{number}")).await);
        }
        if turn > 0 {
            self.waited.extend(waited);
            self.cpu += self.served.cpu() - before;
        }
    }

    fn draw(&self, chart: &Chart) {
        let turns = self.waited.chunks(usize::try_from(TURN).unwrap_or(1));
        chart.ours(self.name, turns.map(|turn| share(turn.iter().copied(), 500).as_secs_f64() * 1e3));
    }

    fn print(&self) {
        let ms = |thousandths| share(self.waited.iter().copied(), thousandths).as_secs_f64() * 1e3;
        let count = self.waited.len() as f64;
        let per_second = count / self.waited.iter().sum::<Duration>().as_secs_f64();
        let cpu_ms = self.cpu.as_secs_f64() * 1e3 / count;
        println!("{:<28}{per_second:>9.0}{:>11.2}{:>9.2}{cpu_ms:>9.2}", self.name, ms(500), ms(990));
    }
}
