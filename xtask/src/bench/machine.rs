//! On what is measured: processors, memory, the day, and which versions the peers have. Not where, and not what it is called.

use std::fs;

use jiff::Zoned;

use crate::envoy;
use crate::error::{Outcome, Trying};
use crate::run::probe;
use crate::workspace::Workspace;

/// What is told.
pub struct Facts {
    pub machine: String,
    pub date: String,
    pub peers: String,
}

/// Programs that others would use, and how they say their version.
const PEERS: [(&str, &str); 7] = [
    ("nginx", "nginx -v 2>&1"),
    ("curl", "curl --version"),
    ("aria2", "aria2c --version"),
    ("OpenSSL", "openssl version"),
    ("requests", "python3 -c 'import requests; print(requests.__version__)'"),
    ("PostgreSQL", "psql --version"),
    ("coreutils", "sha256sum --version"),
];

/// Looks.
pub fn describe(workspace: &Workspace) -> Outcome<Facts> {
    let envoy = envoy::find_envoy(workspace)?;
    let envoy = probe(&envoy, &["--version"]).and_then(|said| version_in(&said));
    let others = PEERS.iter().filter_map(|(name, command)| {
        let said = probe("sh", &["-c", command])?;
        Some(format!("{name} {}", version_in(&said)?))
    });
    let peers: Vec<_> = envoy.map(|version| format!("Envoy {version}")).into_iter().chain(others).collect();
    Ok(Facts {
        machine: machine(&read("/proc/cpuinfo")?, &read("/proc/meminfo")?),
        date: Zoned::now().strftime("%Y-%m-%d").to_string(),
        peers: peers.join(", "),
    })
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).trying(|| format!("read {path}"))
}

/// `2 × some processor, 24 GiB of memory`.
fn machine(processors: &str, memory: &str) -> String {
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let model = value(processors, "model name").unwrap_or_else(|| "a processor that does not say its name".to_owned());
    let kib = value(memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let gib = kib.unwrap_or_default() / f64::from(1 << 20);
    format!("{count} × {model}, {gib:.0} GiB of memory")
}

/// The first word that is a number with points, between blanks and strokes.
fn version_in(said: &str) -> Option<String> {
    let mut words = said.split(|c: char| c.is_whitespace() || c == '/');
    let is_version = |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    words.find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_its_processors_and_its_memory() {
        let processors =
            "processor\t: 0\nmodel name\t: A Processor @ 2 GHz\nprocessor\t: 1\nmodel name\t: A Processor @ 2 GHz\n";
        let said = machine(processors, "MemTotal:       24684832 kB\nMemFree: 1 kB\n");
        assert_eq!(said, "2 × A Processor @ 2 GHz, 24 GiB of memory");
        assert_eq!(machine("processor: 0\n", ""), "1 × a processor that does not say its name, 0 GiB of memory");
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, want) in [
            ("envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("curl 7.88.1 (x86_64-pc-linux-gnu)", "7.88.1"),
            ("psql (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", "15.20"),
        ] {
            assert_eq!(version_in(said).as_deref(), Some(want));
        }
        assert_eq!(version_in("no version."), None);
    }
}
