//! `linkgate-store health`: asks a running store whether it is ready, for places without any other client.

use std::error::Error;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use linkgate_store_core::ingest::chain;
use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;

use super::{BAD_CONFIG, COULD_NOT_RUN, FINDINGS, say};
use crate::config::{Env, ServerConfig};

/// The store answers in milliseconds, unless the disk under its database is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);
/// More than the store has to say.
const MAX_BYTES: u64 = 64 << 10;

/// Exit code 0: ready; 1: it says that it is not, and why; 2: it does not answer.
pub(super) fn health() -> ExitCode {
    let listen = match ServerConfig::listen_from_vars(&Env) {
        Ok(listen) => listen,
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let at = reachable(listen);
    match ask(at, ServerConfig::has_tls(&Env)) {
        Ok((status, body)) => {
            say(body);
            if status == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) }
        }
        Err(e) => {
            eprintln!("the store at {at} does not answer: {}", chain(&*e));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// Who listens everywhere is asked on this machine.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    listen
}

/// The certificate is not looked at: whoever took the store's port on this machine could say that it is well anyway, and it
/// learns nothing from being asked.
fn ask(at: SocketAddr, with_tls: bool) -> Result<(StatusCode, String), Box<dyn Error>> {
    let builder = Client::builder().timeout(TIMEOUT).no_proxy().redirect(Policy::none());
    let client = builder.danger_accept_invalid_certs(with_tls).build()?;
    let scheme = if with_tls { "https" } else { "http" };
    let reply = client.get(format!("{scheme}://{at}/readyz")).send()?;
    let (status, mut body) = (reply.status(), String::new());
    reply.take(MAX_BYTES).read_to_string(&mut body)?;
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_listens_everywhere_is_asked_on_this_machine() {
        for (listen, want) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.1.2.3:1", "10.1.2.3:1"), ("[::1]:1", "[::1]:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), want);
        }
    }
}
