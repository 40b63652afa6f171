//! The five ports: given or free, and known to be so before anything starts.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Failure, Outcome, Trying};

/// The port numbers.
pub struct Numbers {
    /// Where callers send requests.
    pub gateway: u16,
    /// Where the store listens.
    pub store: u16,
    /// Where the sample is served.
    pub sample: u16,
    /// Envoy's own pages.
    pub admin: u16,
    /// The gateway's metrics and readiness.
    pub status: u16,
}

/// The numbers, and the sample's listener, which is ours and stays open.
pub struct Ports {
    numbers: Numbers,
    sample: TcpListener,
}

impl Ports {
    /// These ports.
    ///
    /// # Errors
    /// One is in use; the failure names it and its flag.
    pub fn claim(numbers: Numbers) -> Outcome<Self> {
        let others = [
            (numbers.gateway, "the gateway", "--gateway-port"),
            (numbers.store, "the store", "--store-port"),
            (numbers.admin, "Envoy's admin pages", "--admin-port"),
            (numbers.status, "the gateway's metrics", "--status-port"),
        ];
        let sample = claim_port(numbers.sample, "the sample package", "--sample-port")?;
        // Held until all are seen, so that two flags with the same number are found out too.
        let held: Outcome<Vec<_>> = others.iter().map(|(port, what, flag)| claim_port(*port, what, flag)).collect();
        held.map(drop)?;
        Ok(Self { numbers, sample })
    }

    /// These two, whatever the others are.
    ///
    /// # Errors
    /// As for all of them.
    pub fn claim_outer(gateway: u16, sample: u16) -> Outcome<Self> {
        let (numbers, _) = Self::find_free()?.into_parts();
        let sample_listener = claim_port(sample, "the sample package", "--sample-port")?;
        claim_port(gateway, "callers", "--gateway-port").map(drop)?;
        Ok(Self { numbers: Numbers { gateway, sample, ..numbers }, sample: sample_listener })
    }

    /// Free ports, whatever they are.
    pub fn find_free() -> Outcome<Self> {
        let [(_, gateway), (_, store), (sample, sample_port), (_, admin), (_, status)] = bind_free()?;
        Ok(Self { numbers: Numbers { gateway, store, sample: sample_port, admin, status }, sample })
    }

    /// The numbers and the sample's listener.
    pub fn into_parts(self) -> (Numbers, TcpListener) {
        (self.numbers, self.sample)
    }
}

/// Listeners at free ports, with their numbers; all are there before one is let go, so that they differ.
pub fn bind_free<const N: usize>() -> Outcome<[(TcpListener, u16); N]> {
    let bind_one = || {
        let listener = bind(0)?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    };
    let listeners: std::io::Result<Vec<_>> = (0..N).map(|_| bind_one()).collect();
    let listeners = listeners.trying(|| "find a free port".to_owned())?;
    listeners.try_into().map_err(|_| Failure::new("cannot find enough free ports"))
}

/// Where random ports are looked for: above those of services, and below those that connections get by themselves, so that none
/// is gone by the time that a program listens there.
const BELOW_EPHEMERAL: std::ops::Range<u16> = 10_000..30_000;
const TRIES: usize = 1_000;

/// So many numbers of free ports that differ.
pub fn find_free_below_ephemeral(count: usize) -> Outcome<Vec<u16>> {
    let span = BELOW_EPHEMERAL.end - BELOW_EPHEMERAL.start;
    let mut held = Vec::new();
    for _ in 0..TRIES {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).trying(|| "get random bytes".to_owned())?;
        let port = BELOW_EPHEMERAL.start + u16::from_le_bytes(bytes) % span;
        held.extend(bind(port).ok().map(|listener| (listener, port)));
        if held.len() == count {
            return Ok(held.into_iter().map(|(_, port)| port).collect());
        }
    }
    Err(Failure::new("cannot find enough free ports"))
}

fn claim_port(port: u16, what: &str, flag: &str) -> Outcome<TcpListener> {
    bind(port).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::AddrInUse => "is already in use: stop what holds it".to_owned(),
            _ => format!("cannot be used ({error})"),
        };
        Failure::new(format!("port {port} for {what} {why}, or choose another with {flag}"))
    })
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(numbers: &Numbers) -> Outcome<()> {
        Ports::claim(Numbers { ..*numbers }).map(drop)
    }

    fn refusal(numbers: &Numbers) -> String {
        claim(numbers).unwrap_err().to_string()
    }

    #[test]
    fn a_port_in_use_is_named_with_its_flag() {
        let (mut numbers, listener) = Ports::find_free().unwrap().into_parts();
        let want = format!("port {} for the sample package is already in use", numbers.sample);
        assert!(refusal(&numbers).starts_with(&want));
        std::mem::swap(&mut numbers.sample, &mut numbers.store);
        let text = refusal(&numbers);
        assert!(text.contains("--store-port"), "{text}");
        drop(listener);
        assert!(claim(&numbers).is_ok());
    }

    #[test]
    fn many_free_ports_differ() {
        let ports = find_free_below_ephemeral(40).unwrap();
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!((ports.len(), different.len()), (40, 40));
        assert!(ports.iter().all(|port| BELOW_EPHEMERAL.contains(port)));
    }

    #[test]
    fn the_two_outer_ports_are_claimed_like_the_others() {
        let (numbers, listener) = Ports::find_free().unwrap().into_parts();
        let claim = || Ports::claim_outer(numbers.gateway, numbers.sample).map(|ports| ports.into_parts().0.gateway);
        assert!(claim().unwrap_err().to_string().contains("--sample-port"));
        drop(listener);
        assert_eq!(claim().unwrap(), numbers.gateway);
    }

    #[test]
    fn the_same_port_twice_is_found_out() {
        let (mut numbers, _) = Ports::find_free().unwrap().into_parts();
        numbers.admin = numbers.gateway;
        let text = refusal(&numbers);
        assert!(text.contains("--admin-port"), "{text}");
    }
}
