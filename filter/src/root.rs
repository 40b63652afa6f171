//! Configuration: policy and keys in, a ready gate out, or a refusal that leaves the running policy in place. And what is
//! done between requests.
//!
//! Promises: what a policy comes to is pure and deterministic (no clock, no calls, no shared state), so the host's canary
//! and every worker come to the same verdict.

use std::rc::{Rc, Weak};

use linkgate_gate::policy::{Fault, Policy};
use linkgate_gate::{Gate, Keys, OwnCredentials, SigningKey};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host::{self, Level, Metric};
use crate::http::Stream;
use crate::memory;
use crate::plugin::{Plugin, TICK};

/// One per policy; requests that are under way keep the gate that they began with.
pub struct Root {
    id: u32,
    plugin: Option<Rc<Plugin>>,
    /// Those that a host replaced under this root while their requests waited for answers.
    former: Vec<Weak<Plugin>>,
    /// The gauge of workers that serve this policy, once it counts this one.
    ///
    /// - `linkgate_policy_workers` (gauge; `version`): workers that serve by this policy, and one more for Envoy's
    ///   main thread, which runs the gate too; `version` is what `linkgate policy deploy` printed. A version that is
    ///   not in force any more stays with 0 until Envoy ends.
    counted: Option<String>,
    /// By which requests have this root called; made with the first policy, and kept.
    queue: Option<u32>,
}

impl Root {
    /// A root without a policy.
    pub fn new(id: u32) -> Self {
        Self { id, plugin: None, former: Vec::new(), counted: None, queue: None }
    }

    /// The one in force, and those before it whose requests are still there.
    fn plugins(&self) -> impl Iterator<Item = Rc<Plugin>> {
        self.plugin.clone().into_iter().chain(self.former.iter().filter_map(Weak::upgrade))
    }

    fn put_into_force(&mut self, gate: Gate) {
        host::restart_ticks(TICK);
        if self.queue.is_none() {
            // A host gives what is queued to whoever registered the name last, so no other root may have it.
            let name = memory::entropy().map(|byte| format!("{byte:02x}")).concat();
            self.queue = host::register_queue(&format!("linkgate.{name}")).ok();
        }
        self.former.retain(|plugin| plugin.strong_count() > 0);
        self.former.extend(self.plugin.as_ref().map(Rc::downgrade));
        self.plugin = Some(Rc::new(Plugin::new(self.id, gate, self.queue)));
        self.count_no_more();
    }

    fn count_no_more(&mut self) {
        if let Some(gauge) = self.counted.take() {
            memory::add(Metric::Gauge, &gauge, -1);
        }
    }
}

impl Context for Root {
    /// An outside call has ended; it goes to the policy that made it.
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, _body_size: usize, _num_trailers: usize) {
        if !self.plugins().any(|plugin| plugin.on_answer(token, num_headers)) {
            host::log(Level::Error, &format!("Ignoring the answer to call {token}: nobody waits for it"));
        }
    }
}

impl RootContext for Root {
    /// Puts a policy of this size into force, or says why not and keeps the one before.
    fn on_configure(&mut self, size: usize) -> bool {
        match configure(size) {
            Ok(gate) => {
                self.put_into_force(gate);
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
    fn on_tick(&mut self) {
        let Some(plugin) = &self.plugin else { return };
        if self.counted.is_none() {
            let gauge = format!("linkgate.policy_workers.version.{}", plugin.gate.version());
            memory::add(Metric::Gauge, &gauge, 1);
            self.counted = Some(gauge);
        }
        let now = host::now();
        self.plugins().for_each(|plugin| plugin.on_tick(now));
        memory::flush();
    }

    /// A request has left a question with this root.
    fn on_queue_ready(&mut self, queue: u32) {
        host::empty(queue);
        self.plugins().for_each(|plugin| plugin.on_ring());
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.plugin.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.plugins().for_each(|plugin| plugin.on_root_deleted());
        self.count_no_more();
    }
}

/// What a policy and the proxy's environment come to.
///
/// - `LINKGATE_JWT_PRIVATE_KEY`: the key that the gate signs with: Ed25519 (`EdDSA`), or RSA of 2048 to 4096 bits
///   (`RS512`). PKCS#8, for RSA also PKCS#1, as PEM, or as base64 of the PEM or of the DER for places where a value
///   must stay on one line. Required.
/// - `LINKGATE_BKAUTH_APP_CODE`: the app as which the gate calls bkauth, in `X-Bk-App-Code`. Default: none.
/// - `LINKGATE_BKAUTH_APP_SECRET`: its secret, in `X-Bk-App-Secret`. Default: none.
/// - `LINKGATE_LOGIN_BEARER_TOKEN`: what the login service requires where it serves several tenants
///   (`identity.login.multi_tenant` of the policy), as `Authorization: Bearer …`. Default: none.
fn configure(size: usize) -> Result<Gate, Vec<Fault>> {
    let whole = |message: String| vec![Fault { path: String::new(), message }];
    let text = host::configuration(size).map_err(|e| whole(format!("the host did not hand it over: {e:?}")))?;
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
