//! The table, and the two targets.

use linkgate_tests::Channel;
use linkgate_tests::figures::Chart;
use linkgate_tests::measure::{median, share};

use crate::load::{CONNECTIONS, Latency};

/// The most that the gate may cost Envoy over no filter.
const GATE_US: f64 = 20.0;
/// How many times that `ext_authz` is to cost.
const TIMES: f64 = 3.0;

/// What one round measured, for each request.
#[derive(Clone, Copy)]
pub struct Round {
    pub envoy_us: f64,
    pub service_us: f64,
    pub per_second: f64,
    /// What one caller waits, and each of many.
    pub alone: Latency,
    pub together: Latency,
    pub instructions: Option<f64>,
}

impl Round {
    fn total_us(&self) -> f64 {
        self.envoy_us + self.service_us
    }
}

/// A contender with one kind of request.
pub struct Row {
    name: &'static str,
    channel: Channel,
    case: &'static str,
    pub rounds: Vec<Round>,
}

impl Row {
    pub fn new(name: &'static str, channel: Channel, case: &'static str) -> Self {
        Self { name, channel, case, rounds: Vec::new() }
    }

    /// How a chart names it.
    fn label(&self) -> String {
        let words = [self.name, self.channel.name(), self.case];
        let usual = ["plain", "accepted"];
        words.into_iter().filter(|word| !usual.contains(word)).collect::<Vec<_>>().join(", ")
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    /// The differences, round by round: what slows the machine down for a while slows both.
    fn over(&self, base: &Self, of: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().zip(&base.rounds).map(|(ours, theirs)| of(ours) - of(theirs)).collect()
    }
}

/// Prints the table and says which target was met.
pub fn print(rows: &[Row]) {
    let table = Table(rows);
    let bare = table.find("no filter", Channel::Plain, "accepted");
    print_head();
    rows.iter().for_each(|row| print_row(row, bare));
    println!("connecting: accepted, with a new connection for every request; no session is resumed");
    println!("ratio: CPU of Envoy and the service together, to that of no filter\n");
    table.print_targets();
    table.print_tls();
}

fn print_head() {
    println!(
        "\n{:<46}{:>20}{:>9}{:>8}{:>9}{:>17}{:>17}{:>14}",
        "",
        "Envoy, CPU µs",
        "service",
        "",
        "",
        "ms, 1 caller",
        format!("ms, {CONNECTIONS} callers"),
        "instructions"
    );
    println!(
        "{:<11}{:<15}{:<11}{:>29}{:>9}{:>8}{:>9}{:>9}{:>8}{:>9}{:>8}{:>14}",
        "filter",
        "channel",
        "requests",
        "each (min to max)",
        "CPU µs",
        "ratio",
        "req/s",
        "median",
        "p99",
        "median",
        "p99",
        "each"
    );
}

fn print_row(row: &Row, bare: &Row) {
    let least = row.rounds.iter().map(|round| round.envoy_us).fold(f64::INFINITY, f64::min);
    let most = row.rounds.iter().map(|round| round.envoy_us).fold(0.0, f64::max);
    let envoy = format!("{:.1} ({least:.1} to {most:.1})", row.median(|round| round.envoy_us));
    let service = row.median(|round| round.service_us);
    let service = if service > 0.0 { format!("{service:.1}") } else { "-".to_owned() };
    let counted = row.rounds.iter().all(|round| round.instructions.is_some());
    let instructions = row.median(|round| round.instructions.unwrap_or_default());
    let instructions = if counted { format!("{instructions:.0}") } else { "not counted".to_owned() };
    let ratio = row.median(Round::total_us) / bare.median(Round::total_us);
    let per_second = row.median(|round| round.per_second);
    let ms = |of: fn(&Round) -> Latency| {
        let (middle, p99) = (row.median(|round| of(round).median_ms), row.median(|round| of(round).p99_ms));
        format!("{middle:>9.2}{p99:>8.2}")
    };
    let (alone, together) = (ms(|round| round.alone), ms(|round| round.together));
    let (name, channel, case) = (row.name, row.channel.name(), row.case);
    println!(
        "{name:<11}{channel:<15}{case:<11}{envoy:>29}{service:>9}{ratio:>8.2}{per_second:>9.0}{alone}{together}{instructions:>14}"
    );
}

/// One of those of a round.
type Figure = fn(&Round) -> f64;

/// What `cargo xtask bench all` shows of it.
pub fn draw(rows: &[Row]) {
    let callers = format!("Requests in a second, one worker of Envoy, {CONNECTIONS} callers");
    let charts: [(Chart, Figure); 4] = [
        (Chart::new("cpu", "CPU of Envoy and the service for a request", "µs"), Round::total_us),
        (Chart::new("requests", callers, "1/s"), |round| round.per_second),
        (Chart::new("latency", "What one caller waits, median", "ms"), |round| round.alone.median_ms),
        (Chart::new("latency-p99", format!("What each of {CONNECTIONS} callers waits, p99"), "ms"), |round| {
            round.together.p99_ms
        }),
    ];
    for (chart, of) in charts {
        for row in rows.iter().filter(|row| row.case != "refused") {
            chart.bar(&row.label(), row.name == "gate", row.rounds.iter().map(of));
        }
    }
}

struct Table<'a>(&'a [Row]);

impl Table<'_> {
    fn find(&self, name: &str, channel: Channel, case: &str) -> &Row {
        let wanted = (name, channel, case);
        self.0.iter().find(|row| (row.name, row.channel, row.case) == wanted).expect("it was measured")
    }

    /// What a filter costs over none.
    fn over_bare(&self, name: &str, channel: Channel, of: fn(&Round) -> f64) -> Vec<f64> {
        self.find(name, channel, "accepted").over(self.find("no filter", channel, "accepted"), of)
    }

    fn print_targets(&self) {
        let over_bare = |name: &str, of: fn(&Round) -> f64| self.over_bare(name, Channel::Plain, of);
        let in_envoy = |name: &str| median(over_bare(name, |round| round.envoy_us));
        let extra = over_bare("gate", |round| round.envoy_us);
        let (low, high) = (share(extra.iter().copied(), 250), share(extra.iter().copied(), 750));
        let extra = median(extra);
        let met = verdict(extra <= GATE_US);
        println!(
            "the gate over no filter: {extra:.1} µs, half of the rounds {low:.1} to {high:.1} (target: at most {GATE_US}): {met}"
        );
        let total = median(over_bare("ext_authz", Round::total_us));
        let met = verdict(total >= TIMES * extra);
        println!("ext_authz over the gate: {:.1} times (target: at least {TIMES}): {met}", total / extra);
        let service = self.find("ext_authz", Channel::Plain, "accepted").median(|round| round.service_us);
        println!("ext_authz over no filter: {:.1} µs in Envoy, {service:.1} µs in the service", in_envoy("ext_authz"));
        for (name, what) in [("silent", "tells the access log nothing"), ("a string", "asks about a string only")] {
            let total = median(over_bare(name, Round::total_us));
            println!("ext_authz that {what}, over the gate: {:.1} times", total / extra);
        }
        println!("Lua over no filter: {:.1} µs", in_envoy("Lua"));
    }

    /// What encryption costs, beside what the gate costs then.
    fn print_tls(&self) {
        for channel in [Channel::Tls, Channel::Mutual] {
            let [plain, tls] = [Channel::Plain, channel].map(|channel| self.find("gate", channel, "accepted"));
            let extra = median(tls.over(plain, |round| round.envoy_us));
            let speed = tls.median(|round| round.per_second) / plain.median(|round| round.per_second);
            let gate = median(self.over_bare("gate", channel, |round| round.envoy_us));
            println!(
                "{} over plain, with the gate: {extra:.1} µs, {speed:.2} of the requests in a second; the gate over no filter then: {gate:.1} µs",
                channel.name()
            );
        }
        let [plain, tls] = [Channel::Plain, Channel::Tls].map(|channel| self.find("gate", channel, "connecting"));
        let extra = median(tls.over(plain, |round| round.envoy_us));
        println!("a handshake of TLS 1.3 over a plain connection: {extra:.1} µs");
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "yes" } else { "MISSED" }
}
