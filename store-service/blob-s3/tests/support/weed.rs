//! SeaweedFS: a real S3 server, one for each test.
//!
//! `cargo xtask test` fetches it and names it in `LINKGATE_WEED`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::wait_until;

pub const BUCKET: &str = "linkgate";
pub const KEY_ID: &str = "linkgate-test";
pub const SECRET: &str = "never-to-be-seen-anywhere";

const PORTS: [&str; 10] = [
    "s3.port",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "admin.port",
    "admin.port.grpc",
];

/// With other ports each time.
const START_TRIES: usize = 5;

/// A process that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// A running server.
pub struct Weed {
    program: PathBuf,
    dir: TempDir,
    ports: Vec<u16>,
    child: Option<Running>,
}

/// Ports that nobody listens on now, below those that connections get by themselves.
fn free_ports() -> Vec<u16> {
    let random = || RandomState::new().build_hasher().finish();
    let ports = std::iter::repeat_with(|| 10_000 + u16::try_from(random() % 20_000).unwrap());
    // All are held until all are known, or one might be given twice.
    let listeners: Vec<_> =
        ports.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()).take(PORTS.len()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// So many times its bucket is looked for before it is made for it.
const MISSED: usize = 250;

impl Weed {
    /// `None`, and says so, where there is none.
    pub async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("LINKGATE_WEED") else {
            println!("not tried: LINKGATE_WEED is not set; `cargo xtask test` sets it where SeaweedFS can be had");
            return None;
        };
        let mut weed =
            Self { program: program.into(), dir: tempfile::tempdir().unwrap(), ports: free_ports(), child: None };
        for _ in 0..START_TRIES {
            match weed.try_resume().await {
                Ok(()) => return Some(weed),
                // Somebody else may have taken a port before it did.
                Err(ended) => println!("{ended}; trying other ports"),
            }
            (weed.ports, weed.dir) = (free_ports(), tempfile::tempdir().unwrap());
        }
        panic!("SeaweedFS ends whenever it is started");
    }

    /// Starts it again with what it has stored.
    pub async fn resume(&mut self) {
        self.try_resume().await.unwrap();
    }

    async fn try_resume(&mut self) -> Result<(), String> {
        let dir = self.dir.path().to_str().unwrap();
        let mut command = Command::new(&self.program);
        command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.arg(format!("-logdir={dir}")).arg("mini").arg(format!("-dir={dir}")).arg(format!("-bucket={BUCKET}"));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.args(["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-s3.autoCreateBucket=false"]);
        command.args(PORTS.iter().zip(&self.ports).map(|(name, port)| format!("-{name}={port}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = Running(command.spawn().expect("LINKGATE_WEED names a program"));
        let folder = format!("/buckets/{BUCKET}/?limit=1");
        let mut missed = 0;
        let started = wait_until(async || match child.0.try_wait().unwrap() {
            Some(ended) => Ok(Err(format!("SeaweedFS has {ended}"))),
            None => match (self.get(0, "/healthz").await, self.get(1, &folder).await) {
                (Some((200, _)), Some((200, _))) => Ok(Ok(())),
                seen => {
                    missed += usize::from(matches!(seen, (Some((200, _)), Some((404, _)))));
                    // It makes the bucket once it serves, and gives that up where its parts find each other late.
                    if missed == MISSED {
                        self.ask(1, "POST", &format!("/buckets/{BUCKET}/"), "").await;
                    }
                    Err(format!("SeaweedFS is not ready: {seen:?}"))
                }
            },
        })
        .await;
        self.child = Some(child);
        started
    }

    /// As a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.0.kill().unwrap();
            assert_eq!(child.0.wait().unwrap().signal(), Some(9), "it had ended by itself");
        }
    }

    /// Lets it stand still: whoever asks gets no answer, and no connection breaks.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        assert!(Command::new("kill").args([signal, &child.0.id().to_string()]).status().unwrap().success());
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// The keys of all objects, in order, but for the one that readiness writes. Asks behind the back of S3.
    pub async fn objects(&self) -> Vec<String> {
        let root = format!("/buckets/{BUCKET}");
        let (mut folders, mut objects) = (vec![root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for (path, is_folder) in self.entries(&folder).await {
                let key = path.strip_prefix(&format!("{root}/")).unwrap().to_owned();
                match is_folder {
                    true if key == ".uploads" => {}
                    true => folders.push(path),
                    // What readiness is tried with, and what says whose the bucket is.
                    false if ["ready", "database"].contains(&key.rsplit('/').next().unwrap_or_default()) => {}
                    false => objects.push(key),
                }
            }
        }
        objects.sort();
        objects
    }

    /// The names of open uploads.
    pub async fn open_uploads(&self) -> Vec<String> {
        self.entries(&format!("/buckets/{BUCKET}/.uploads")).await.into_iter().map(|(path, _)| path).collect()
    }

    /// Puts other bytes in the place of an object's, or deletes it where there are none, behind the back of S3.
    pub async fn damage(&self, key: &str, bytes: Option<&str>) {
        let path = format!("/buckets/{BUCKET}/{key}");
        let (method, body) = bytes.map_or(("DELETE", ""), |bytes| ("PUT", bytes));
        let (status, _) = self.ask(1, method, &path, body).await.unwrap();
        assert!((200..300).contains(&status), "{status}");
    }

    /// The bytes of an object as they lie on the disk.
    pub async fn stored(&self, key: &str) -> Vec<u8> {
        let (status, bytes) = self.ask_bytes(1, "GET", &format!("/buckets/{BUCKET}/{key}"), "").await.unwrap();
        assert_eq!(status, 200);
        bytes
    }

    async fn entries(&self, folder: &str) -> Vec<(String, bool)> {
        let Some((200, body)) = self.get(1, &format!("{folder}/?limit=10000")).await else { return Vec::new() };
        let listed: Value = serde_json::from_str(&body).unwrap();
        let entries = listed["Entries"].as_array().cloned().unwrap_or_default();
        let path = |entry: &Value| entry["FullPath"].as_str().unwrap().to_owned();
        let is_folder = |entry: &Value| entry["Mode"].as_u64().unwrap() >> 31 == 1;
        entries.iter().map(|entry| (path(entry), is_folder(entry))).collect()
    }

    async fn get(&self, port: usize, path: &str) -> Option<(u16, String)> {
        self.ask(port, "GET", path, "").await
    }

    async fn ask(&self, port: usize, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let (status, body) = self.ask_bytes(port, method, path, body).await?;
        Some((status, String::from_utf8(body).ok()?))
    }

    /// `None` if there is no reply.
    async fn ask_bytes(&self, port: usize, method: &str, path: &str, body: &str) -> Option<(u16, Vec<u8>)> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports[port])).await.ok()?;
        let len = body.len();
        let head = format!("{method} {path} HTTP/1.0\r\nAccept: application/json\r\nContent-Length: {len}\r\n\r\n");
        connection.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        let mut reply = Vec::new();
        connection.read_to_end(&mut reply).await.ok()?;
        let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
        let status = String::from_utf8_lossy(&reply[..end]).split(' ').nth(1)?.parse().ok()?;
        Some((status, reply.split_off(end + 4)))
    }
}
