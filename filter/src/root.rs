//! Configuration: policy and key in, a ready gate out, or a refusal that leaves the running policy in place.
//!
//! Promises: pure and deterministic (no clock, no calls, no shared state), so the host's canary and every worker come to
//! the same verdict.

use std::rc::Rc;

use linkgate_gate::policy::{Fault, Policy};
use linkgate_gate::{Gate, SigningKey};

use crate::host::{self, Buffer, Level};

/// Where the proxy's environment holds the private key.
const KEY_VARIABLE: &str = "LINKGATE_JWT_PRIVATE_KEY";

/// One per policy; requests that are under way keep the gate that they began with.
#[derive(Default)]
pub struct Root {
    gate: Option<Rc<Gate>>,
}

impl Root {
    /// The gate that is in force, for a request that begins.
    pub fn gate(&self) -> Option<Rc<Gate>> {
        self.gate.clone()
    }

    /// Puts a policy of this size into force, or says why not and keeps the one before.
    pub fn on_configure(&mut self, size: usize) -> bool {
        match configure(size) {
            Ok(gate) => {
                self.gate = Some(Rc::new(gate));
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

    /// Nothing is due.
    pub fn on_tick(&mut self) {}

    /// An outside call has ended. None is made yet, so every token is unknown.
    pub fn on_http_call_response(&mut self, token: u32, _num_headers: usize, _body_size: usize) {
        host::log(Level::Error, &format!("the answer to call {token} is ignored: no such call was made"));
    }
}

fn configure(size: usize) -> Result<Gate, Vec<Fault>> {
    let whole = |message: String| vec![Fault { path: String::new(), message }];
    let text = host::buffer(Buffer::PluginConfiguration, size)
        .map_err(|e| whole(format!("the host did not hand it over: {e}")))?;
    let policy = Policy::from_json(&text)?;
    #[allow(clippy::disallowed_methods, reason = "the one place where the gate reads its environment")]
    let key = std::env::var(KEY_VARIABLE).unwrap_or_default();
    let key = SigningKey::read(&key).map_err(|e| whole(e.to_string()))?;
    let held = policy.summary();
    host::log(
        Level::Info,
        &format!("policy in force: {} apps, {} users, {} allowed hosts", held.apps, held.users, held.allowed_hosts),
    );
    Ok(Gate::new(policy, key))
}
