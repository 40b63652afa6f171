//! A file that curl gets: from the store and from nginx, alone (nginx without sendfile, which the store has not either) and both
//! behind Envoy with the gate (nginx with it). And what many readers hold who hardly read. The file lies on a disk, and after the
//! first round in the system's memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use linkgate_tests::wait::wait_until;
use linkgate_tests::{
    Gateway, GatewayPlan, LinkRequestBuilder, Nginx, StoreProcess, TokenMint, package_path, unknown_formats_allowed,
};

use crate::{Measured, memory_kib, print};

/// Readers at once who hardly read.
const SLOW_READERS: usize = 32;
/// Where they all get it; nginx serves the one file whatever it is asked for.
const SERVED: &str = "location / { try_files /sent =404; }";

/// Where a file is got from, and by which header.
struct Place {
    url: String,
    header: String,
    back_end: u32,
    envoy: Option<u32>,
}

/// Measures both ways, and the slow readers.
pub async fn measure(size: u64, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let file = write_file(dir.path(), size);
    let source = serving(dir.path(), "sendfile off;", &file).await;
    alone(dir.path(), &source, (&file, size), rounds).await;
    behind_envoy(dir.path(), &source, (&file, size), rounds).await;
}

/// A file that no format knows, so that nobody looks into it.
fn write_file(dir: &Path, size: u64) -> PathBuf {
    let path = dir.join("sent");
    let mut head = Command::new("head");
    head.args(["-c", &size.to_string(), "/dev/urandom"]).stdout(std::fs::File::create(&path).unwrap());
    assert!(head.status().expect("head runs").success());
    path
}

async fn serving(dir: &Path, directive: &str, file: &Path) -> Nginx {
    let nginx = Nginx::start_in(dir, &format!("{directive}\n{SERVED}")).await;
    std::fs::hard_link(file, nginx.file("/sent")).unwrap();
    nginx
}

async fn alone(dir: &Path, source: &Nginx, (file, size): (&Path, u64), rounds: u64) {
    let mint = TokenMint::new();
    let (data, token) = (tempfile::tempdir_in(dir).unwrap(), mint.token_for("download"));
    let store = StoreProcess::start(data.path(), &settings(source, &mint.setting(), size));
    let request = LinkRequestBuilder::new(source.url_of("/sent"), &mint);
    let id = uploaded(store.base(), request).await;
    let url = format!("{}{}", store.base(), package_path(id, "download/"));
    let ours = Place { url, header: format!("X-Bkapi-JWT: {token}"), back_end: store.pid(), envoy: None };
    let theirs = Place { url: source.url_of("/sent"), header: "X-A: b".into(), back_end: source.pid(), envoy: None };
    compare("download, alone", &ours, ("nginx, sendfile off", &theirs), (file, size), rounds);
}

async fn behind_envoy(dir: &Path, source: &Nginx, (file, size): (&Path, u64), rounds: u64) {
    let (data, plan) = (tempfile::tempdir_in(dir).unwrap(), GatewayPlan::new());
    let store = StoreProcess::start(data.path(), &settings(source, &plan.public_keys(), size));
    let gateway = start(plan, store.base().trim_start_matches("http://"), source).await;
    let other = serving(dir, "sendfile on;", file).await;
    let other_gateway = start(GatewayPlan::new(), &other.host(), source).await;
    let authorized = |gateway: &Gateway| format!("X-Bkapi-Authorization: {}", gateway.credentials().header());
    let request = LinkRequestBuilder::new(source.url_of("/sent"), &TokenMint::new()).token(None);
    let id = uploaded(gateway.base(), request.header("x-bkapi-authorization", &gateway.credentials().header())).await;
    let place = |gateway: &Gateway, back_end| Place {
        url: format!("{}{}", gateway.base(), package_path(id, "download/")),
        header: authorized(gateway),
        back_end,
        envoy: Some(gateway.pid()),
    };
    let (ours, theirs) = (place(&gateway, store.pid()), place(&other_gateway, other.pid()));
    compare("download, behind Envoy", &ours, ("nginx, sendfile on", &theirs), (file, size), rounds);
    read_slowly(&ours, &store).await;
}

fn settings(source: &Nginx, keys: &str, size: u64) -> [(&'static str, &'static str); 5] {
    let leak = |text: String| -> &'static str { text.leak() };
    [
        ("LINKGATE_JWT_PUBLIC_KEYS", leak(keys.to_owned())),
        ("LINKGATE_FETCH_ALLOWED_HOSTS", leak(source.host())),
        ("LINKGATE_FETCH_PRIVATE_HOSTS", leak(source.host())),
        ("LINKGATE_FETCH_MAX_BYTES", leak(size.to_string())),
        unknown_formats_allowed("the file is no archive, to measure without the inspection"),
    ]
}

async fn start(plan: GatewayPlan, upstream: &str, source: &Nginx) -> Gateway {
    let mut policy = plan.credentials().policy(&[source.host()]);
    policy["grants"][0]["actions"] = "*".into();
    plan.deploy(&policy);
    plan.start(upstream.parse().unwrap()).await
}

async fn uploaded(base: &str, request: LinkRequestBuilder) -> i64 {
    let reply = request.send(base).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["id"].as_i64().unwrap()
}

/// In turns; one round first that does not count, in which the digests are checked.
fn compare(title: &str, ours: &Place, theirs: (&'static str, &Place), (file, size): (&Path, u64), rounds: u64) {
    let mut rows = [("store", Vec::new()), (theirs.0, Vec::new())];
    for round in 0..=rounds {
        for ((_, all), place) in rows.iter_mut().zip([ours, theirs.1]) {
            if round == 0 {
                check_digest(place, file);
            } else {
                all.push(get(place, size));
            }
        }
    }
    print(title, size, &rows);
}

fn check_digest(place: &Place, file: &Path) {
    let digest = |command: String| {
        let output = Command::new("sh").args(["-c", &command, "sh", &place.header, &place.url]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap_or_default().to_owned()
    };
    let got = digest("curl -sSf -H \"$1\" \"$2\" | sha256sum".to_owned());
    assert_eq!(got, digest(format!("sha256sum {}", file.display())), "{}", place.url);
}

fn curl(place: &Place, more: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sSf", "--noproxy", "*", "-H", &place.header, "-o", "/dev/null"]).args(more).arg(&place.url);
    command
}

fn get(place: &Place, size: u64) -> Measured {
    let before = place.envoy.map_or(0, |pid| memory_kib(pid, "VmRSS:"));
    let begun = Instant::now();
    let output = curl(place, &["-w", "%{size_download}"]).output().expect("curl runs");
    let took = begun.elapsed();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        size.to_string(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let envoy_more_kib = place.envoy.map_or(0, |pid| memory_kib(pid, "VmHWM:").saturating_sub(before));
    Measured { took, back_end_kib: memory_kib(place.back_end, "VmHWM:"), envoy_more_kib }
}

/// What readers hold who take a few KiB in a second, once all of them have begun.
async fn read_slowly(place: &Place, store: &StoreProcess) {
    let envoy = place.envoy.unwrap_or_default();
    let before = (memory_kib(place.back_end, "VmRSS:"), memory_kib(envoy, "VmRSS:"));
    let readers: Vec<Reader> = (0..SLOW_READERS)
        .map(|_| Reader(curl(place, &["--limit-rate", "32k"]).stderr(Stdio::null()).spawn().expect("curl runs")))
        .collect();
    let wanted = format!("linkgate_store_downloads_active {SLOW_READERS}");
    wait_until(async || {
        let metrics = store.get("/metrics").await.body;
        if metrics.contains(&wanted) { Ok(()) } else { Err("not all have begun".to_owned()) }
    })
    .await;
    // For buffers to fill.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let more = |pid, before: u64| memory_kib(pid, "VmRSS:").saturating_sub(before) / (SLOW_READERS as u64);
    println!(
        "{SLOW_READERS} readers of 32 KiB/s hold {} KiB each in the store and {} KiB in Envoy\n",
        more(place.back_end, before.0),
        more(envoy, before.1)
    );
    drop(readers);
}

/// Ends when dropped.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}
