//! The gate under load while what it rests on changes: policies are deployed, bkauth goes down and comes back.
//!
//! Every request knows the reply that is right for it. Promises: a run is bounded, and every reply that was wrong is counted
//! in its report. Panics only where there is nothing to judge any more: Envoy does not start, is gone, or takes no policy.

mod mix;
mod report;
mod schedule;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use self::mix::{Class, GOOD, HOST, KNOWN, Mix, NEW, SWINGING_HOST};
pub use self::report::Report;
use self::upstream::Upstream;
use crate::load::{Load, Wire, fire};
use linkgate_tests::gateway::APP;
use linkgate_tests::identity::Asked;
use linkgate_tests::{Gateway, GatewayPlan, Identity, Service, ServiceBehaviour, sha256_hex};

/// Envoy's workers, each with what it knows for itself.
const WORKERS: usize = 2;
/// Who says that a policy is in force: Envoy's main thread runs the gate too, although no request comes to it.
const SERVING: u64 = WORKERS as u64 + 1;
/// How bkauth is when it is up: slow enough that questions are under way whenever a policy changes.
const UP: ServiceBehaviour = ServiceBehaviour::Slow(Duration::from_millis(20));
/// What passes until a bkauth that came back is sure to be asked: a connection that was refused may still be looked at.
const DAWN: Duration = Duration::from_millis(100);
/// How often bkauth goes down: for two seconds of six.
const SECONDS_PER_OUTAGE: u32 = 6;
/// Connections of the warm-up; with so many, each worker has some.
const WARM_CONNECTIONS: u32 = 32;
/// Enough of each known kind to meet every app and every user.
const WARM_REQUESTS: u32 = 20;
/// How long the workers may take until only the last policy is in force. Each says so at its next tick.
const SETTLES_WITHIN: Duration = Duration::from_secs(15);
/// How long a refusal is kept: beyond that it is asked for anew.
const REFUSED_S: u32 = 60;

/// What Envoy counts and a report shows, by the ends of the names.
const COUNTED: [&str; 8] = [
    "linkgate.update_success",
    "linkgate.update_rejected",
    "vm_reload",
    ".active",
    ".created",
    "cluster.bkauth.upstream_rq_total",
    "cluster.bkauth.upstream_cx_connect_fail",
    "http.gateway.downstream_rq_total",
];

/// Numbers by name.
type Stats = BTreeMap<String, u64>;

/// What to do to the gate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long.
    pub seconds: u32,
    /// Requests in a second.
    pub rate: u32,
    /// Policies that are deployed meanwhile, evenly.
    pub deploys: u32,
}

impl Plan {
    /// How often bkauth goes down meanwhile.
    fn outages(&self) -> u32 {
        (self.seconds / SECONDS_PER_OUTAGE).max(1)
    }
}

/// What stands around the gate.
struct Scene {
    identity: Identity,
    upstream: Upstream,
    gateway: Gateway,
    mix: Arc<Mix>,
}

/// Runs it all.
pub async fn run(plan: Plan) -> Report {
    let scene = Scene::set_up().await;
    let mut report = Report::new(plan);
    scene.warm_up(&mut report).await;
    report.memory_kib.0 = scene.gateway.resident_kib();
    report.stats.0 = scene.stats().await;
    let load = Load { rate: plan.rate, seconds: plan.seconds, connections: (plan.rate / 10).clamp(16, 256) };
    let (tally, refusals, ()) = tokio::join!(
        fire(scene.gateway.address(), load, &scene.mix),
        scene.deploy_often(plan),
        scene.cut_bkauth_off(plan),
    );
    report.tally = tally;
    report.refusals = refusals;
    scene.look_back(&mut report).await;
    report
}

impl Scene {
    async fn set_up() -> Self {
        let identity = Identity::start().await;
        identity.set(Service::Bkauth, UP).await;
        let plan = GatewayPlan::new().workers(WORKERS).asking(&identity);
        let mix = Arc::new(Mix::new(&identity, plan.credentials()));
        let keys = plan.public_keys();
        let upstream = Upstream::start(keys.trim_start_matches("linkgate=").as_ref()).await;
        plan.deploy(&policy(&plan.credentials().policy(&[]), 0));
        let gateway = plan.start(upstream.address()).await;
        Self { identity, upstream, gateway, mix }
    }

    /// Lets every worker meet everybody whom it shall know.
    async fn warm_up(&self, report: &mut Report) {
        let mut wires: Vec<_> = (0..WARM_CONNECTIONS).map(|_| Wire::new(self.gateway.address())).collect();
        for number in 0..WARM_REQUESTS {
            for class in KNOWN {
                let asked = wires.iter_mut().map(|wire| async {
                    let (shot, asked) = self.mix.of_class(class, number);
                    (asked, wire.ask(&shot).await)
                });
                for (asked, reply) in futures_util::future::join_all(asked).await {
                    report.alone(&self.mix, &asked, reply);
                }
            }
        }
    }

    /// Gives what the command line said to those policies that it did not deploy.
    async fn deploy_often(&self, plan: Plan) -> Vec<String> {
        let (begun, mut refusals) = (Instant::now(), Vec::new());
        let base = self.gateway.credentials().policy(&[]);
        for number in 1..=plan.deploys {
            let part = (f64::from(number) - 0.5) / f64::from(plan.deploys);
            sleep_until(begun + Duration::from_secs_f64(f64::from(plan.seconds) * part)).await;
            refusals.extend(self.gateway.deploy(&policy(&base, number)).await.err());
        }
        refusals
    }

    /// Down for a third of the time.
    async fn cut_bkauth_off(&self, plan: Plan) {
        let (begun, schedule) = (Instant::now(), &self.mix.schedule);
        for number in 0..plan.outages() {
            let at = |third: u32| {
                let part = f64::from(3 * number + third) / f64::from(3 * plan.outages());
                sleep_until(begun + Duration::from_secs_f64(f64::from(plan.seconds) * part))
            };
            at(1).await;
            schedule.turn();
            self.identity.set(Service::Bkauth, ServiceBehaviour::Down).await;
            schedule.turn();
            at(2).await;
            schedule.turn();
            self.identity.set(Service::Bkauth, UP).await;
            sleep(DAWN).await;
            schedule.turn();
        }
    }

    /// Everything that can be said when it is over.
    async fn look_back(&self, report: &mut Report) {
        report.asked = self.identity.asked().len();
        report.known_asked = self.identity.asked().iter().filter(|asked| is_known(asked)).count();
        let renewals = 1 + (report.plan.seconds / REFUSED_S) as usize;
        report.known_limit = self.mix.known_questions() * WORKERS * renewals;
        report.version = self.gateway.policy_version();
        report.workers = self.settled_workers(&report.version).await;
        self.judge_last_policy(report).await;
        report.taken = self.upstream.taken();
        report.memory_kib.1 = self.gateway.resident_kib();
        report.stats.1 = self.stats().await;
        report.log_faults = self.gateway.log().lines().filter(|line| is_fault(line)).map(str::to_owned).collect();
    }

    /// How many workers say that they serve each policy, once all but the last one are gone.
    async fn settled_workers(&self, last: &str) -> Stats {
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            let page = self.gateway.admin_page("/stats?filter=policy_workers").await;
            let workers: Stats =
                numbers(&page).filter_map(|(name, n)| Some((name.rsplit_once('.')?.1.into(), n))).collect();
            let wanted = |version: &str| if version == last { SERVING } else { 0 };
            let settled = workers.iter().all(|(version, count)| *count == wanted(version));
            if (settled && workers.contains_key(last)) || Instant::now() > deadline {
                return workers;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The kinds whose verdict hangs on the policy, now that there is only one.
    async fn judge_last_policy(&self, report: &mut Report) {
        self.mix.settle(allows_swinging(report.plan.deploys));
        for number in 0..WARM_CONNECTIONS {
            let (shot, asked) = self.mix.of_class(Class::SwingingHost, number);
            report.alone(&self.mix, &asked, Wire::new(self.gateway.address()).ask(&shot).await);
        }
    }

    /// What Envoy counts of policies, VMs and questions.
    async fn stats(&self) -> Stats {
        let page = self.gateway.admin_page("/stats").await;
        let wanted = |name: &str| COUNTED.iter().any(|end| name.ends_with(end));
        numbers(&page).filter(|(name, _)| wanted(name)).map(|(name, count)| (name.to_owned(), count)).collect()
    }
}

/// The policy of this number. It lists an app of that number, so that no two are the same, and says of the same requests
/// the same in different words; except for the swinging host.
fn policy(base: &Value, number: u32) -> Value {
    let mut policy = base.clone();
    let grant = |name: &str, app: &str| json!({"name": name, "callers": [app], "targets": ["target-*"]});
    policy["grants"] = match number % 3 {
        0 => json!([grant("all", &format!("{GOOD}*")), grant("listed", APP)]),
        1 => json!([grant("listed", APP), grant("lower", &format!("{GOOD}[01]")), grant("each", &format!("{GOOD}?"))]),
        _ => json!([{"name": "both", "callers": [APP, format!("{GOOD}*")], "targets": ["*"]}]),
    };
    policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}, "login": {"cluster": "bklogin"}});
    let hosts = if allows_swinging(number) { vec![HOST, SWINGING_HOST] } else { vec![HOST] };
    policy["packages"]["allowed_hosts"] = json!(hosts);
    let spare = json!({"app_code": format!("spare-{number}"), "secret_sha256": [sha256_hex(&number.to_le_bytes())]});
    if let Some(apps) = policy["clients"].as_array_mut() {
        apps.push(spare);
    }
    policy
}

fn allows_swinging(number: u32) -> bool {
    number % 2 == 1
}

/// A question about somebody whom the warm-up showed.
fn is_known(asked: &Asked) -> bool {
    let new = |text: &str| text.contains(NEW);
    !new(&asked.path) && !new(&asked.query) && !new(&String::from_utf8_lossy(&asked.body))
}

/// A line of Envoy's log, or of the gate's in it, that says that something failed.
fn is_fault(line: &str) -> bool {
    ["][error][", "][critical]["].iter().any(|level| line.contains(level))
}

/// `name: number` in each line.
fn numbers(page: &str) -> impl Iterator<Item = (&str, u64)> {
    page.lines().filter_map(|line| line.split_once(": ").and_then(|(name, n)| Some((name, n.trim().parse().ok()?))))
}
