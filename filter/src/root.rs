//! Configuration: policy and keys in, a ready gate out, or a refusal that leaves the running policy in place. And what is
//! done between requests.
//!
//! Promises: what a policy comes to is pure and deterministic (no clock, no calls, no shared state), so the host's canary
//! and every worker come to the same verdict.

use std::rc::{Rc, Weak};

use linkgate_gate::policy::{Fault, Policy};
use linkgate_gate::{Gate, Keys, OwnCredentials, SigningKey};

use crate::host::{self, Buffer, Level, Metric};
use crate::memory;
use crate::plugin::Plugin;

/// How often counts are handed over and tokens renewed.
const TICK_MS: u32 = 1_000;

/// One per policy; requests that are under way keep the gate that they began with.
pub struct Root {
    id: u32,
    plugin: Option<Rc<Plugin>>,
    /// Those that a host replaced under this root while their requests waited for answers.
    former: Vec<Weak<Plugin>>,
    /// The gauge of workers that serve this policy, once it counts this one.
    counted: Option<String>,
}

impl Root {
    /// A root without a policy.
    pub fn new(id: u32) -> Self {
        Self { id, plugin: None, former: Vec::new(), counted: None }
    }

    /// What is in force, for a request that begins.
    pub fn plugin(&self) -> Option<Rc<Plugin>> {
        self.plugin.clone()
    }

    /// Puts a policy of this size into force, or says why not and keeps the one before.
    pub fn on_configure(&mut self, size: usize) -> bool {
        match configure(size) {
            Ok(gate) => {
                if let Err(error) = host::set_tick_period(TICK_MS) {
                    host::log(Level::Error, &format!("counts will not be handed over: {error}"));
                }
                self.former.retain(|plugin| plugin.strong_count() > 0);
                self.former.extend(self.plugin.as_ref().map(Rc::downgrade));
                self.plugin = Some(Rc::new(Plugin::new(self.id, gate)));
                self.count_no_more();
                true
            }
            Err(faults) => {
                for fault in faults {
                    host::log(Level::Error, &format!("policy refused: {fault}"));
                }
                false
            }
        }
    }

    /// A second has passed. The host's canary does not live that long, so only what serves is counted as serving.
    pub fn on_tick(&mut self) {
        let Some(plugin) = &self.plugin else { return };
        if self.counted.is_none() {
            let gauge = format!("linkgate.policy_workers.version.{}", plugin.gate.version());
            memory::add(Metric::Gauge, &gauge, 1);
            self.counted = Some(gauge);
        }
        match host::now() {
            Ok(now) => plugin.on_tick(now),
            Err(error) => host::log(Level::Error, &format!("tokens are not renewed: {error}")),
        }
        memory::flush();
    }

    /// An outside call has ended; it goes to the policy that made it.
    pub fn on_http_call_response(&mut self, token: u32, num_headers: usize) {
        let mut plugins = self.plugin().into_iter().chain(self.former.iter().filter_map(Weak::upgrade));
        if !plugins.any(|plugin| plugin.on_answer(token, num_headers)) {
            host::log(Level::Error, &format!("the answer to call {token} is ignored: no such call was made"));
        }
    }

    fn count_no_more(&mut self) {
        if let Some(gauge) = self.counted.take() {
            memory::add(Metric::Gauge, &gauge, -1);
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.count_no_more();
    }
}

fn configure(size: usize) -> Result<Gate, Vec<Fault>> {
    let whole = |message: String| vec![Fault { path: String::new(), message }];
    let text = host::buffer(Buffer::PluginConfiguration, size)
        .map_err(|e| whole(format!("the host did not hand it over: {e}")))?;
    let policy = Policy::from_json(&text)?;
    let signing = SigningKey::parse(&variable("LINKGATE_JWT_PRIVATE_KEY")).map_err(|e| whole(e.to_string()))?;
    let own = OwnCredentials::new(
        variable("LINKGATE_BKAUTH_APP_CODE"),
        variable("LINKGATE_BKAUTH_APP_SECRET"),
        variable("LINKGATE_LOGIN_BEARER_TOKEN"),
    );
    let held = policy.summary();
    host::log(
        Level::Info,
        &format!(
            "policy {} in force: {} grants, {} clients, {} users, {} allowed hosts",
            policy.version(),
            held.grants,
            held.clients,
            held.users,
            held.allowed_hosts
        ),
    );
    Ok(Gate::new(policy, Keys { signing, own }, memory::worker()))
}

/// A variable of the proxy's environment; one that is not set is empty.
fn variable(name: &str) -> String {
    #[allow(clippy::disallowed_methods, reason = "the one place where the gate reads its environment")]
    std::env::var(name).unwrap_or_default()
}
