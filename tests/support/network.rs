//! A network of a test's own: a machine without neighbours, with the addresses that the test wants and a name server that
//! answers as it is told.
//!
//! A store asks the system for addresses and refuses those that are not public, so it can be shown a name that flips only
//! where the system asks us, and a download from a public address only where that is ours. Both are so in namespaces of
//! Linux: [`inside`] runs a test again in a mount and a network namespace of its own, and who is not root also in one of
//! users. It takes `unshare`, `mount` and `ip`, and a system that lets us make such namespaces. Refuses to pass for done where
//! that cannot be had: the test fails and says why.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Set where a test runs inside.
const INSIDE: &str = "LINKGATE_TEST_INSIDE";

/// Runs this test inside a network in which this machine has these addresses, on the loopback device. `test` is the whole
/// name of the test, by which it is found again.
pub fn inside<F: Future<Output = ()>>(test: &str, addresses: &[&str], body: impl FnOnce() -> F) {
    inside_with(test, addresses, Vec::new, body);
}

/// The same with what is made outside first, which is told inside by variables of the environment.
pub fn inside_with<F: Future<Output = ()>, O: IntoIterator<Item = (&'static str, String)>>(
    test: &str,
    addresses: &[&str],
    outside: impl FnOnce() -> O,
    body: impl FnOnce() -> F,
) {
    if std::env::var_os(INSIDE).is_some() {
        let dir = tempfile::tempdir().unwrap();
        furnish(dir.path(), addresses);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(body());
    }
    let again = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::getuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--net", "--"]).arg(again).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").envs(outside()).output().expect("`unshare` of util-linux is needed");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    eprintln!("{err}");
    assert!(
        output.status.success(),
        "failed in a network of its own; if the lines above speak of `unshare`, this user may not make namespaces here"
    );
    assert!(out.contains("1 passed"), "{test} is the name of no test");
}

/// Gives the machine its addresses and its name server.
fn furnish(dir: &Path, addresses: &[&str]) {
    run("ip", &["link", "set", "lo", "up"]);
    for address in addresses {
        let version = if address.contains(':') { "-6" } else { "-4" };
        run("ip", &[version, "address", "add", address, "dev", "lo"]);
    }
    for (file, text) in [
        ("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:10 attempts:1\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
        ("/etc/hosts", "127.0.0.1 localhost\n"),
    ] {
        let ours = dir.join(Path::new(file).file_name().unwrap());
        std::fs::write(&ours, text).unwrap();
        run("mount", &["--bind", ours.to_str().unwrap(), file]);
    }
}

/// Takes an address from the machine, inside: whatever is sent to it vanishes from then on, and nothing says so.
pub fn lose(address: &str) {
    run("ip", &["address", "del", address, "dev", "lo"]);
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "`{program} {}` failed", arguments.join(" "));
}

/// A name server on `127.0.0.1:53`. Stops when dropped.
pub struct NameServer {
    names: Arc<Mutex<HashMap<String, Name>>>,
    task: JoinHandle<()>,
}

/// What is known of a name, and how often it was asked for.
#[derive(Default)]
struct Name {
    /// One list of addresses for each time that the name is asked for; the last one stays.
    turns: Vec<Vec<IpAddr>>,
    /// By type of question: addresses of version 4 and 6 are asked for at the same time.
    asked: HashMap<u16, usize>,
    is_silent: bool,
}

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

impl NameServer {
    /// Knows no name.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).await.unwrap();
        let names: Arc<Mutex<HashMap<String, Name>>> = Arc::default();
        let known = Arc::clone(&names);
        let task = tokio::spawn(async move {
            let mut question = [0; 1_500];
            while let Ok((len, from)) = socket.recv_from(&mut question).await {
                let answer = answer(&mut known.lock().unwrap(), &question[..len]);
                if let Some(answer) = answer {
                    drop(socket.send_to(&answer, from).await);
                }
            }
        });
        Self { names, task }
    }

    /// Answers with these addresses, a new list each time that the name is asked for; the last one stays.
    pub fn knows(&self, name: &str, turns: &[&[&str]]) {
        let list = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let name_of = Name { turns: turns.iter().map(list).collect(), ..Name::default() };
        self.names.lock().unwrap().insert(name.to_owned(), name_of);
    }

    /// Takes questions for this name and never answers.
    pub fn is_silent_about(&self, name: &str) {
        self.names.lock().unwrap().insert(name.to_owned(), Name { is_silent: true, ..Name::default() });
    }

    /// How often addresses of version 4 were asked for.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        self.names.lock().unwrap().get(name).and_then(|name| name.asked.get(&TYPE_A).copied()).unwrap_or_default()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a question (RFC 1035, 4.1), with a life of no time.
fn answer(names: &mut HashMap<String, Name>, question: &[u8]) -> Option<Vec<u8>> {
    let (name, end) = name_at(question, 12)?;
    let kind = u16::from_be_bytes([*question.get(end)?, *question.get(end + 1)?]);
    let known = names.get_mut(&name);
    if known.as_ref().is_some_and(|name| name.is_silent) {
        return None;
    }
    let no_such_name = u8::from(known.is_none()) * 3;
    let addresses: Vec<Vec<u8>> = known.map(|name| name.next(kind)).unwrap_or_default();
    let count = u8::try_from(addresses.len()).unwrap();
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x84, no_such_name, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question.get(12..end + 4)?);
    for address in addresses {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0, 0, u8::try_from(address.len()).unwrap()]);
        answer.extend(address);
    }
    Some(answer)
}

impl Name {
    fn next(&mut self, kind: u16) -> Vec<Vec<u8>> {
        let asked = self.asked.entry(kind).or_default();
        let turn = (*asked).min(self.turns.len().saturating_sub(1));
        *asked += 1;
        let octets = |address: &IpAddr| match (address, kind) {
            (IpAddr::V4(v4), TYPE_A) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), TYPE_AAAA) => Some(v6.octets().to_vec()),
            _ => None,
        };
        self.turns.get(turn).into_iter().flatten().filter_map(octets).collect()
    }
}

/// The name that stands there, without its last dot, and the place behind it.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let len = usize::from(*message.get(at)?);
        let label = message.get(at + 1..at + 1 + len)?;
        at += 1 + len;
        if len == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
}
