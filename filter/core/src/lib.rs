//! The gate: every decision about a request, and nothing about the proxy that carries it.
//!
//! Events go in ([`Gate::on_headers`], [`Pending::on_body`]), verdicts come out; there is no clock, no I/O and no
//! proxy-wasm here, so all of it runs, and is fuzzed, natively. Promises: no input makes it panic, whatever it cannot
//! understand it refuses, and a secret never leaves it in a reply, a log or a debug print.

pub mod credentials;
pub mod directory;
mod flow;
mod head;
pub mod policy;
mod reply;
mod secret;
mod token;

pub use flow::{Forward, Gate, Pending, Verdict};
pub use head::Head;
pub use reply::{GatewayError, Reply};
pub use secret::{Digest, InvalidDigest};
pub use token::{InvalidKey, SigningKey};
