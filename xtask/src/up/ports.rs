//! The four ports: given or free, and known to be so before anything starts.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use super::Options;
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
}

/// The numbers, and the sample's listener, which is ours and is kept.
pub struct Ports {
    numbers: Numbers,
    sample: TcpListener,
}

impl Ports {
    /// The ports of the flags.
    ///
    /// # Errors
    /// One is in use; the failure names it and its flag.
    pub fn given(options: &Options) -> Outcome<Self> {
        let numbers = Numbers {
            gateway: options.gateway_port,
            store: options.store_port,
            sample: options.sample_port,
            admin: options.admin_port,
        };
        let others = [
            (numbers.gateway, "the gateway", "--gateway-port"),
            (numbers.store, "the store", "--store-port"),
            (numbers.admin, "Envoy's admin pages", "--admin-port"),
        ];
        let sample = claim(numbers.sample, "the sample package", "--sample-port")?;
        // Held until all are seen, so that two flags with the same number are found out too.
        let held: Outcome<Vec<_>> = others.iter().map(|(port, what, flag)| claim(*port, what, flag)).collect();
        held.map(drop)?;
        Ok(Self { numbers, sample })
    }

    /// Free ports, whatever they are.
    pub fn free() -> Outcome<Self> {
        let any = || bind(0).trying(|| "find a free port".to_owned());
        let number =
            |listener: &TcpListener| listener.local_addr().map(|a| a.port()).trying(|| "ask for a port".to_owned());
        let (gateway, store, sample, admin) = (any()?, any()?, any()?, any()?);
        let numbers = Numbers {
            gateway: number(&gateway)?,
            store: number(&store)?,
            sample: number(&sample)?,
            admin: number(&admin)?,
        };
        Ok(Self { numbers, sample })
    }

    /// The numbers and the sample's listener.
    pub fn into_parts(self) -> (Numbers, TcpListener) {
        (self.numbers, self.sample)
    }
}

fn claim(port: u16, what: &str, flag: &str) -> Outcome<TcpListener> {
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
    use std::path::PathBuf;

    use super::*;

    fn options(ports: &Numbers) -> Options {
        Options {
            gateway_port: ports.gateway,
            store_port: ports.store,
            sample_port: ports.sample,
            admin_port: ports.admin,
            data_dir: PathBuf::new(),
            release: false,
            allow_host: Vec::new(),
            private_host: Vec::new(),
            check: false,
        }
    }

    fn refusal(numbers: &Numbers) -> String {
        Ports::given(&options(numbers)).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_port_in_use_is_named_with_its_flag() {
        let (mut numbers, listener) = Ports::free().unwrap().into_parts();
        let want = format!("port {} for the sample package is already in use", numbers.sample);
        assert!(refusal(&numbers).starts_with(&want));
        std::mem::swap(&mut numbers.sample, &mut numbers.store);
        let text = refusal(&numbers);
        assert!(text.contains("--store-port"), "{text}");
        drop(listener);
        assert!(Ports::given(&options(&numbers)).is_ok());
    }

    #[test]
    fn the_same_port_twice_is_found_out() {
        let (mut numbers, _) = Ports::free().unwrap().into_parts();
        numbers.admin = numbers.gateway;
        let text = refusal(&numbers);
        assert!(text.contains("--admin-port"), "{text}");
    }
}
