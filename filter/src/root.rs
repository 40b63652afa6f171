//! Configuration: policy and key in, a ready gate out, or a refusal that leaves the running policy in place.
//!
//! Promises: pure and deterministic (no clock, no calls, no shared state), so the host's canary and every worker come to
//! the same verdict.

use std::rc::Rc;

use linkgate_gate::policy::{Fault, Policy};
use linkgate_gate::{Gate, SigningKey};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host::{self, Buffer, Level};
use crate::http::Request;

/// Where the proxy's environment holds the private key.
const KEY_VARIABLE: &str = "LINKGATE_JWT_PRIVATE_KEY";

/// One per policy; requests that are under way keep the gate that they began with.
#[derive(Default)]
pub struct Root {
    gate: Option<Rc<Gate>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
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

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(self.gate.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
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
