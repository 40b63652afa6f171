//! A proxy for the way out, as Debian has it: tinyproxy, a process of its own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::net::{TcpListener, TcpStream};

use crate::wait::wait_until;

/// tinyproxy. Killed when dropped.
pub struct Tinyproxy {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Tinyproxy {
    /// Starts it with these lines of configuration; none where it is not installed, which is said.
    pub async fn start(rules: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (port, at) = (address.port(), dir.path().display());
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nLogLevel Info\nLogFile \"{at}/log\"\nPidFile \"{at}/pid\"\n{rules}\n"
        );
        let path = dir.path().join("tinyproxy.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new("tinyproxy");
        let spawned = command.args(["-d", "-c"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) => {
                println!("tinyproxy is not tried: {error}");
                return None;
            }
        };
        let proxy = Self { child, address, dir };
        wait_until(async || TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())).await;
        Some(proxy)
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The first lines of the requests that it took.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let requests = log.lines().filter_map(|line| line.split_once("Request (file descriptor "));
        requests.filter_map(|(_, rest)| rest.split_once("): ")).map(|(_, line)| line.to_owned()).collect()
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
