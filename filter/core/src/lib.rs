//! The gate: every decision about a request, and nothing about the proxy that carries it.
//!
//! Events go in ([`Gate::on_headers`], [`Pending::on_body`], [`Gate::resume`]), verdicts come out; there is no clock, no
//! I/O and no proxy-wasm here, so all of it runs, and is fuzzed, natively. Promises: no input makes it panic, whatever it
//! cannot understand it refuses, and a secret never leaves it in a reply, a log or a debug print.

mod caller_cache;
mod console;
mod context;
mod credentials;
mod denied;
mod directory;
mod flow;
mod gate;
mod head;
mod held;
mod identity;
mod interrupt;
mod jwt;
mod keys;
mod limit;
mod metrics;
pub mod policy;
mod reason;
mod record;
mod reply;
mod rules;
mod secret;
mod services;
mod shared;
mod signature_budget;
mod signed_url;
mod time;
mod token;
mod worker;

pub use context::Keys;
pub use flow::{ClientAddress, Denial, Forward, Pending, Verdict, Waiter};
pub use gate::{CallStep, Completion, Gate, InFlightCall};
pub use head::Head;
pub use keys::{InvalidKey, SigningKey};
pub use limit::Lease;
pub use metrics::Counts;
pub use record::Record;
pub use reply::{GatewayError, Reply};
pub use secret::{Digest, InvalidDigest};
pub use services::ServiceKind;
pub use services::question::{MAX_ANSWER, OutsideCall, OwnCredentials, ServiceReply};
pub use shared::{SharedData, Unavailable, Unshared};
pub use time::Time;
pub use worker::Worker;
