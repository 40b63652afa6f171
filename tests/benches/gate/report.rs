//! The table, and the two targets.

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
    case: &'static str,
    pub rounds: Vec<Round>,
}

impl Row {
    pub fn new(name: &'static str, case: &'static str) -> Self {
        Self { name, case, rounds: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// The differences, round by round: what slows the machine down for a while slows both.
    fn over(&self, base: &Self, of: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().zip(&base.rounds).map(|(ours, theirs)| of(ours) - of(theirs)).collect()
    }
}

fn median(values: Vec<f64>) -> f64 {
    quarter(values, 2)
}

/// What that many quarters of the values are below.
fn quarter(mut values: Vec<f64>, quarters: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * quarters / 4]
}

/// Prints the table and says which target was met.
pub fn print(rows: &[Row]) {
    let find = |name, case| rows.iter().find(|row| (row.name, row.case) == (name, case)).unwrap();
    let bare = find("no filter", "accepted");
    println!("\n{:<11}{:<10}{:>22}{:>12}{:>9}{:>15}{:>9}", "", "", "Envoy, CPU µs", "service", "", "instructions", "");
    println!(
        "{:<11}{:<10}{:>22}{:>12}{:>9}{:>15}{:>9}",
        "filter", "requests", "each (min to max)", "CPU µs", "req/s", "each", "ratio"
    );
    rows.iter().for_each(|row| print_row(row, bare));
    println!("ratio: CPU of Envoy and the service together, to that of no filter\n");

    let over_bare = |name, of: fn(&Round) -> f64| find(name, "accepted").over(bare, of);
    let in_envoy = |name| median(over_bare(name, |round| round.envoy_us));
    let extra = over_bare("gate", |round| round.envoy_us);
    let (low, high) = (quarter(extra.clone(), 1), quarter(extra, 3));
    let extra = in_envoy("gate");
    let met = verdict(extra <= GATE_US);
    println!(
        "the gate over no filter: {extra:.1} µs, half of the rounds {low:.1} to {high:.1} (target: at most {GATE_US}): {met}"
    );
    let total = median(over_bare("ext_authz", Round::total_us));
    let met = verdict(total >= TIMES * extra);
    println!("ext_authz over the gate: {:.1} times (target: at least {TIMES}): {met}", total / extra);
    let service = find("ext_authz", "accepted").median(|round| round.service_us);
    println!("ext_authz over no filter: {:.1} µs in Envoy, {service:.1} µs in the service", in_envoy("ext_authz"));
    for (name, what) in [("silent", "tells the access log nothing"), ("a string", "asks about a string only")] {
        let total = median(over_bare(name, Round::total_us));
        println!("ext_authz that {what}, over the gate: {:.1} times", total / extra);
    }
    println!("Lua over no filter: {:.1} µs", in_envoy("Lua"));
}

fn verdict(met: bool) -> &'static str {
    if met { "yes" } else { "MISSED" }
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
    let (name, case) = (row.name, row.case);
    println!("{name:<11}{case:<10}{envoy:>22}{service:>12}{per_second:>9.0}{instructions:>15}{ratio:>9.2}");
}
