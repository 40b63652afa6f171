//! The gateway as it is shipped: real Envoy, the built filter, `envoy.yaml` and policies deployed by the real command line.

mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::identity::{Identity, Service};
use crate::process::binary;
use crate::request::get;
use crate::wait::wait_until;
use crate::{random, sha256_hex};

/// The app that the policy lists.
pub const APP: &str = "apigw-api-test";
/// The user whom it lists.
pub const USER: &str = "admin";

/// A path from a variable that `cargo xtask test` sets.
#[must_use]
pub fn path_from(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"));
    PathBuf::from(path)
}

/// The release of the Envoy that is started, without its last number.
#[must_use]
pub fn envoy_release() -> (u32, u32) {
    let said = Command::new(path_from("LINKGATE_ENVOY")).arg("--version").output().unwrap().stdout;
    // `version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
    let said = String::from_utf8(said).unwrap();
    let version = said.split('/').nth_back(3).unwrap_or_else(|| panic!("Envoy says `{said}`"));
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What the caller shows; made anew for each gateway.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The app's secret.
    pub secret: String,
    /// The user's `bk_token`.
    pub token: String,
    /// The user's `bk_ticket`.
    pub ticket: String,
}

impl Credentials {
    fn new() -> Self {
        Self { secret: random(), token: random(), ticket: random() }
    }

    /// The header that is good.
    #[must_use]
    pub fn header(&self) -> String {
        json!({"bk_app_code": APP, "bk_app_secret": self.secret, "bk_ticket": self.ticket}).to_string()
    }

    /// A policy that admits them and links to these hosts.
    #[must_use]
    pub fn policy(&self, allowed_hosts: &[String]) -> Value {
        let digest = |secret: &str| sha256_hex(secret.as_bytes());
        json!({
            "version": 1,
            "gateway": "linkgate",
            "routes": {"prefixes": ["", "/stag", "/api/bkpaas3/prod"]},
            "limits": {"body_bytes": 65_536, "uri_bytes": 1_024},
            "packages": {"allowed_hosts": allowed_hosts},
            "grants": [{"name": "test", "callers": ["*"], "targets": ["*"]}],
            "clients": [{"app_code": APP, "secret_sha256": [digest(&self.secret)]}],
            "users": [{
                "username": USER,
                "bk_token_sha256": [digest(&self.token)],
                "bk_ticket_sha256": [digest(&self.ticket)],
            }],
        })
    }
}

/// What stands in the way of a gateway before it starts.
pub struct GatewayPlan {
    dir: tempfile::TempDir,
    credentials: Credentials,
    edits: Vec<(String, String)>,
    workers: usize,
    wasm: PathBuf,
    arguments: Vec<String>,
    /// Variables for `envoy.yaml`.
    wiring: Vec<(String, String)>,
    /// Variables of Envoy's process.
    environment: Vec<(String, String)>,
}

impl Default for GatewayPlan {
    fn default() -> Self {
        Self::new()
    }
}

impl GatewayPlan {
    /// Makes keys and credentials.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut generate = Command::new(binary("linkgate"));
        generate.args(["keys", "generate", "--to"]).arg(dir.path().join("keys"));
        assert!(generate.stdout(Stdio::null()).status().unwrap().success());
        Self::of(dir, Credentials::new())
    }

    /// Another gateway beside this one: it signs with the same key, and knows the same callers.
    #[must_use]
    pub fn beside(gateway: &Gateway) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        for name in ["jwt-private.pem", "jwt-public.pem"].map(|name| format!("keys/{name}")) {
            std::fs::copy(gateway.dir.path().join(&name), dir.path().join(&name)).unwrap();
        }
        Self::of(dir, gateway.credentials.clone())
    }

    fn of(dir: tempfile::TempDir, credentials: Credentials) -> Self {
        std::fs::create_dir(dir.path().join("policy")).unwrap();
        Self {
            dir,
            credentials,
            edits: Vec::new(),
            workers: 2,
            wasm: path_from("LINKGATE_WASM"),
            arguments: Vec::new(),
            wiring: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Lets the gate ask these identity services, with the credentials that they want.
    #[must_use]
    pub fn asking(mut self, identity: &Identity) -> Self {
        for service in Service::ALL {
            let (name, address) = (service.cluster().to_uppercase(), identity.address(service));
            self.wiring.push((format!("LINKGATE_{name}_ADDRESS"), address.ip().to_string()));
            self.wiring.push((format!("LINKGATE_{name}_PORT"), address.port().to_string()));
        }
        for (name, value) in identity.environment() {
            self = self.env(name, &value);
        }
        self
    }

    /// Sets a variable of `envoy.yaml`; the last of a name counts.
    #[must_use]
    pub fn wire(mut self, name: &str, value: &str) -> Self {
        self.wiring.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable of Envoy's process; the last of a name counts.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another filter than the one that was built.
    #[must_use]
    pub fn wasm(mut self, path: PathBuf) -> Self {
        self.wasm = path;
        self
    }

    /// One more argument of Envoy's command line.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// That many workers, instead of two.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// What the caller will show.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// `LINKGATE_JWT_PUBLIC_KEYS` of a store that believes this gateway.
    #[must_use]
    pub fn public_keys(&self) -> String {
        format!("linkgate={}", self.dir.path().join("keys/jwt-public.pem").display())
    }

    /// The key that the gate signs with, as PEM.
    #[must_use]
    pub fn private_key(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("keys/jwt-private.pem")).unwrap()
    }

    /// Changes a text of `envoy.yaml`, which must be there.
    #[must_use]
    pub fn editing(mut self, from: &str, to: &str) -> Self {
        self.edits.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Puts a policy in place with the command line.
    pub fn deploy(&self, policy: &Value) {
        deploy(self.dir.path(), &self.wasm, policy).unwrap();
    }

    /// Puts any resource in place, past the command line.
    pub fn place(&self, resource: &Value) {
        place(self.dir.path(), resource);
    }

    /// Starts Envoy before this upstream.
    pub async fn start(self, upstream: SocketAddr) -> Gateway {
        let config = self.render(upstream);
        let log = self.dir.path().join("envoy.log");
        // Envoy appends its access log through a descriptor of its own; the two must not overwrite each other.
        let output = std::fs::File::options().append(true).create(true).open(&log).unwrap();
        let admin_path = self.dir.path().join("admin");
        let mut command = Command::new(path_from("LINKGATE_ENVOY"));
        command.arg("-c").arg(config).args(["--use-dynamic-base-id", "--concurrency", &self.workers.to_string()]);
        command
            .arg("--admin-address-path")
            .arg(&admin_path)
            .args(["--file-flush-interval-msec", "100"])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        command.env("LINKGATE_JWT_PRIVATE_KEY", self.private_key()).envs(self.environment.clone());
        let child = command.spawn().unwrap();
        let (dir, credentials) = (self.dir, self.credentials);
        let (base, admin, status) = (String::new(), String::new(), String::new());
        let mut gateway = Gateway { child, dir, credentials, workers: self.workers, base, admin, status };
        gateway.wait_until_ready(&admin_path).await;
        gateway
    }

    fn render(&self, upstream: SocketAddr) -> PathBuf {
        let mut text = std::fs::read_to_string(path_from("LINKGATE_ROOT").join("envoy.yaml")).unwrap();
        for (from, to) in &self.edits {
            assert!(text.contains(from.as_str()), "envoy.yaml has no {from}");
            text = text.replace(from.as_str(), to);
        }
        let (source, target) = (self.dir.path().join("source.yaml"), self.dir.path().join("envoy.yaml"));
        std::fs::write(&source, text).unwrap();
        let mut render = Command::new(binary("linkgate"));
        render.args(["envoy", "render"]).arg(&source).arg("--to").arg(&target).stdout(Stdio::null());
        render.env("LINKGATE_GATEWAY_PORT", "0").env("LINKGATE_STATUS_PORT", "0");
        render.env("LINKGATE_ADMIN_PORT", "0");
        render.env("LINKGATE_UPSTREAM_ADDRESS", upstream.ip().to_string());
        render.env("LINKGATE_UPSTREAM_PORT", upstream.port().to_string());
        render.env("LINKGATE_POLICY_DIR", self.dir.path().join("policy"));
        render.envs(self.wiring.iter().map(|(name, value)| (name, value)));
        assert!(render.status().unwrap().success());
        target
    }
}

/// What the command line printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    dir: tempfile::TempDir,
    credentials: Credentials,
    workers: usize,
    base: String,
    admin: String,
    status: String,
}

impl Gateway {
    /// `http://host:port`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.base.trim_start_matches("http://").parse().unwrap()
    }

    /// What the caller shows.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Envoy's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it takes HTTP/3.
    pub async fn http3_address(&self) -> SocketAddr {
        listening(&self.admin, "gateway-http3").await
    }

    /// `http://host:port` of Envoy's admin interface.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// `http://host:port` of its listener `status`.
    #[must_use]
    pub fn status(&self) -> &str {
        &self.status
    }

    /// Forgets what Envoy has printed so far, which many requests make long.
    pub fn empty_log(&self) {
        std::fs::File::options().write(true).open(self.dir.path().join("envoy.log")).unwrap().set_len(0).unwrap();
    }

    /// The memory that Envoy holds now, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells VmRSS");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Runs `linkgate policy deploy --wait`, with more flags.
    #[must_use]
    pub fn deploy_and_wait(&self, policy: &Value, more: &[&str]) -> Said {
        let mut command = deploy_command(self.dir.path(), policy);
        self.wait_with(command.args(more))
    }

    /// Runs `linkgate policy rollback --wait`.
    #[must_use]
    pub fn roll_back_and_wait(&self) -> Said {
        let mut command = Command::new(binary("linkgate"));
        self.wait_with(command.args(["policy", "rollback", "--to"]).arg(self.dir.path().join("policy")))
    }

    fn wait_with(&self, command: &mut Command) -> Said {
        let output = command.args(["--wait", "120s", "--admin", &self.admin]).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// All that Envoy has printed: its log, the filter's, and the access log.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.path().join("envoy.log")).unwrap()).into_owned()
    }

    /// Deploys a policy with the command line and waits until Envoy has taken it.
    ///
    /// # Errors
    /// What the command line printed when it refused.
    pub async fn deploy(&self, policy: &Value) -> Result<(), String> {
        let before = self.counter("update_success").await;
        deploy(self.dir.path(), &path_from("LINKGATE_WASM"), policy)?;
        self.wait_for_counter("update_success", before + 1).await;
        Ok(())
    }

    /// Puts any resource in place, past the command line, and waits until Envoy has refused it.
    pub async fn place_and_see_it_refused(&self, resource: &Value) {
        let before = self.counter("update_rejected").await;
        place(self.dir.path(), resource);
        self.wait_for_counter("update_rejected", before + 1).await;
    }

    /// Puts any resource in place, past the command line, and waits until Envoy has taken it.
    pub async fn place_and_see_it_taken(&self, resource: &Value) {
        let before = self.counter("update_success").await;
        place(self.dir.path(), resource);
        self.wait_for_counter("update_success", before + 1).await;
    }

    /// The resource that is deployed now.
    #[must_use]
    pub fn resource(&self) -> Value {
        let text = std::fs::read(self.dir.path().join("policy/linkgate.ecds.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    async fn wait_until_ready(&mut self, admin_path: &Path) {
        self.admin = wait_until(async || {
            assert!(self.child.try_wait().unwrap().is_none(), "Envoy did not start:\n{}", self.log());
            let address = std::fs::read_to_string(admin_path).unwrap_or_default();
            let admin = format!("http://{}", address.trim());
            let is_ready = !address.is_empty() && get(&admin, "/ready").await.status == 200;
            if is_ready { Ok(admin) } else { Err(format!("Envoy did not start:\n{}", self.log())) }
        })
        .await;
        self.base = format!("http://{}", listening(&self.admin, "gateway").await);
        self.status = format!("http://{}", listening(&self.admin, "status").await);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Fails when it has ended already, which is fine.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Where a listener of an Envoy is, by its admin interface.
pub async fn listening(admin: &str, name: &str) -> SocketAddr {
    let listeners = get(admin, "/listeners?format=json").await.json();
    let list = listeners["listener_statuses"].as_array().unwrap();
    let listener = list.iter().find(|listener| listener["name"] == name).expect("Envoy has this listener");
    let socket = &listener["local_address"]["socket_address"];
    format!("{}:{}", socket["address"].as_str().unwrap(), socket["port_value"]).parse().unwrap()
}

fn deploy(dir: &Path, wasm: &Path, policy: &Value) -> Result<(), String> {
    let output = deploy_command(dir, policy).arg("--wasm").arg(wasm).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn deploy_command(dir: &Path, policy: &Value) -> Command {
    // JSON is YAML.
    let file = dir.join("policy.yaml");
    std::fs::write(&file, policy.to_string()).unwrap();
    let mut command = Command::new(binary("linkgate"));
    command.args(["policy", "deploy"]).arg(file).arg("--to").arg(dir.join("policy"));
    command
}

fn place(dir: &Path, resource: &Value) {
    let (temporary, target) = (dir.join("policy/temporary"), dir.join("policy/linkgate.ecds.json"));
    std::fs::write(&temporary, resource.to_string()).unwrap();
    std::fs::rename(temporary, target).unwrap();
}
