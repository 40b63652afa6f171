//! The hosts that packages may come from in a demo.

use super::Options;
use super::ports::Numbers;

/// Where links may point to.
pub struct Hosts {
    /// On this machine or in its network; the sample's host is the first of them.
    pub private: Vec<String>,
    pub public: Vec<String>,
}

impl Hosts {
    pub fn of(ports: &Numbers, options: &Options) -> Self {
        let sample = format!("127.0.0.1:{}", ports.sample);
        let private = std::iter::once(sample).chain(options.private_host.iter().cloned()).collect();
        Self { private, public: options.allow_host.clone() }
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.private.iter().chain(&self.public).map(String::as_str)
    }
}
