//! `cargo xtask up`: the whole of Linkgate on one machine, with a package uploaded through it.
//!
//! Promises: it stays up until Ctrl-C and stops all that it started, whatever ends it; its files are in one folder,
//! and a second start uses them again. With `--check` it uses a fresh folder and free ports, compares the reply field
//! by field, and ends. Refuses to start over a port that is in use. A demo: it listens on this machine only.

pub mod authority;
pub mod children;
pub mod demo;
pub mod files;
mod hosts;
mod login;
pub mod ports;
pub mod replicas;
pub mod sample;
mod shutdown;
pub mod upload;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Outcome, Trying};
use crate::http::{self, Server};
use crate::programs::Programs;
use crate::workspace::{Profile, Workspace};
use authority::Authority;
use children::Children;
use demo::{Credentials, GatewayPorts};
use files::{DemoFiles, read_text};
use hosts::Hosts;
use login::Login;
use ports::{Numbers, Ports};
use sample::Sample;
use shutdown::ShutdownRequest;

/// Flags of `up`.
#[derive(Args)]
pub struct Options {
    /// Where callers send requests
    #[arg(long, default_value_t = 8080)]
    pub gateway_port: u16,
    /// Where the store listens
    #[arg(long, default_value_t = 8081)]
    pub store_port: u16,
    /// Where the sample package is served
    #[arg(long, default_value_t = 8090)]
    pub sample_port: u16,
    /// Envoy's own pages
    #[arg(long, default_value_t = 9901)]
    pub admin_port: u16,
    /// The gateway's metrics and readiness
    #[arg(long, default_value_t = 9902)]
    pub status_port: u16,
    /// The folder whose files a second start uses again
    #[arg(long, value_name = "DIR", default_value = ".linkgate")]
    pub data_dir: PathBuf,
    /// Start so many stores that share a PostgreSQL and a bucket, and two gateways, all behind a load balancer at
    /// --gateway-port; the other ports are free ones then
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub replicas: Option<u8>,
    /// A further host that package URLs may point to, `host` or `host:port`; may be given several times
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// The same for a host with a private address, on this machine or in this network
    #[arg(long, value_name = "HOST")]
    pub private_host: Vec<String>,
    /// Speak TLS to callers, and between gateway and store, with certificates of an authority of the demo's own
    #[arg(long, conflicts_with = "replicas")]
    pub tls: bool,
    /// Build the store to be fast instead of to be built fast
    #[arg(long)]
    pub release: bool,
    /// Start once, apart from any other, on free ports; end with 0 only if the reply is right in every field
    #[arg(long)]
    pub check: bool,
}

/// Starts everything, uploads the sample, and stays.
pub fn up(workspace: &Workspace, options: &Options) -> Outcome<()> {
    let stop = ShutdownRequest::listen()?;
    let servers = options.replicas.map(|_| replicas::Servers::find(workspace)).transpose()?;
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    let programs = Programs::build(workspace, profile, &["linkgate-store", "linkgate-cli"])?;
    if options.check {
        let folder = tempfile::Builder::new().prefix("up-check-").tempdir_in(&workspace.target);
        let folder = folder.trying(|| format!("make a folder in {}", workspace.target.display()))?;
        let ports = Ports::find_free()?;
        return session(workspace, &programs, folder.path(), ports, &stop, options, servers.as_ref());
    }
    let folder = workspace.path(&options.data_dir);
    if servers.is_some() {
        let ports = Ports::claim_outer(options.gateway_port, options.sample_port)?;
        return session(workspace, &programs, &folder, ports, &stop, options, servers.as_ref());
    }
    let ports = Ports::claim(Numbers {
        gateway: options.gateway_port,
        store: options.store_port,
        sample: options.sample_port,
        admin: options.admin_port,
        status: options.status_port,
    })?;
    session(workspace, &programs, &folder, ports, &stop, options, None)
}

fn session(
    workspace: &Workspace,
    programs: &Programs,
    folder: &Path,
    ports: Ports,
    stop: &ShutdownRequest,
    options: &Options,
    servers: Option<&replicas::Servers>,
) -> Outcome<()> {
    if let (Some(servers), Some(stores)) = (servers, options.replicas) {
        return replicas::session(workspace, programs, folder, ports, stop, options, (servers, stores.into()));
    }
    let files = DemoFiles::prepare(folder)?;
    let (numbers, listener) = ports.into_parts();
    let credentials = Credentials::load_or_create(&files)?;
    let hosts = Hosts::new(format!("127.0.0.1:{}", numbers.sample), &options.private_host, &options.allow_host);
    demo::prepare_policy_and_keys(workspace, programs, &files, &credentials, &hosts)?;
    let Numbers { gateway, admin, status, store: upstream, .. } = numbers;
    let authority = options.tls.then(|| Authority::load_or_create(files.tls())).transpose()?;
    let pem = authority.as_ref().map(Authority::pem).transpose()?;
    let config = files.envoy_config();
    let ports = GatewayPorts { gateway, admin, status, upstream };
    demo::render_gateway(workspace, programs, &files, &config, &ports, (0, authority.as_ref()))?;
    let login = Login::new(&credentials, upload::scheme(authority.as_ref()), numbers.gateway)?;
    let link = login.link(numbers.sample);
    let sample = Sample::serve(&workspace.path("samples"), listener, login)?;

    let mut children = Children::default();
    let mut store = store_command(programs, &files, numbers.store, &hosts);
    store.envs(authority.iter().flat_map(Authority::store_settings));
    children.start("store", &mut store, &files.store_log())?;
    let store = Server::new(numbers.store, pem.clone());
    stop.wait_until_ready(&mut children, "the store", || is_ok(store.clone(), "/readyz"))?;
    children.start("envoy", &mut envoy_command(programs, &files, &config)?, &files.envoy_log())?;
    stop.wait_until_ready(&mut children, "Envoy", || {
        is_ok(numbers.admin, "/ready") && http::is_listening(numbers.gateway)
    })?;

    let gateway = Server::new(numbers.gateway, pem);
    let reply = upload::upload_sample(gateway.clone(), &credentials, &sample.url)?;
    println!("\n{reply}\n");
    if options.check {
        upload::check_reply(&reply, &sample)?;
        upload::check_wrong_secret(gateway, &credentials, &sample.url)?;
        println!("ok: the reply is right in every field, and a wrong secret is refused");
        return Ok(());
    }
    reply.expect_success(&files)?;
    let authority = authority.as_ref().map(Authority::file);
    println!("console  {link}");
    println!("{}", upload::format_help(&numbers, &credentials, &sample.url, &files, authority.as_deref()));
    stop.wait_for_request(&mut children)
}

fn is_ok(server: impl Into<Server>, path: &str) -> bool {
    http::get(server, path).is_ok_and(|response| response.status == 200)
}

fn store_command(programs: &Programs, files: &DemoFiles, port: u16, hosts: &Hosts) -> Command {
    let mut command = Programs::command(&programs.bin.join("linkgate-store"));
    command
        .env("LINKGATE_STORE_LISTEN", format!("127.0.0.1:{port}"))
        .env("LINKGATE_DATA_DIR", files.data())
        .env("LINKGATE_JWT_PUBLIC_KEYS", format!("linkgate={}", files.public_key().display()))
        .env("LINKGATE_FETCH_ALLOWED_HOSTS", hosts.all().collect::<Vec<_>>().join(","));
    command
}

fn envoy_command(programs: &Programs, files: &DemoFiles, config: &Path) -> Outcome<Command> {
    let key = SecretString::from(read_text(&files.private_key())?);
    let mut command = Programs::command(&programs.envoy);
    command
        .arg("-c")
        .arg(config)
        .args(["--concurrency", "2", "--use-dynamic-base-id"])
        .env("LINKGATE_JWT_PRIVATE_KEY", key.expose_secret());
    Ok(command)
}
