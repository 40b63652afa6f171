//! `cargo xtask up --replicas N`: two gateways and N stores behind a load balancer, with the PostgreSQL and the bucket that the
//! stores share.
//!
//! Promises: as without it; every server is of this start alone, at loopback addresses and free ports, and its data is in the
//! folder. With `--check` a store and a gateway are killed besides, and callers must not be refused for that. PostgreSQL is
//! installed where it is missing and root may do that; SeaweedFS is fetched.

mod balancer;
mod bucket;
pub mod database;
mod files;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::children::Children;
use super::demo::{self, Credentials, GatewayPorts};
use super::hosts::Hosts;
use super::login::Login;
use super::ports::{Ports, find_free_below_ephemeral};
use super::sample::Sample;
use super::shutdown::ShutdownRequest;
use super::{Options, envoy_command, is_ok, store_command, upload};
use crate::error::{Failure, Outcome};
use crate::http;
use crate::programs::Programs;
use crate::weed;
use crate::workspace::Workspace;
use balancer::Balancer;
use bucket::Bucket;
use database::Database;
use files::ReplicaFiles;

/// How many gateways there are.
const GATEWAYS: usize = 2;
/// Connections to the database: those of a store, and some for whoever looks after it.
const CONNECTIONS_OF_A_STORE: usize = 6;
const SPARE_CONNECTIONS: usize = 20;

/// What is needed of other programs.
pub struct Servers {
    database: Database,
    weed: PathBuf,
}

impl Servers {
    /// Finds them, or gets them.
    pub fn find(workspace: &Workspace) -> Outcome<Self> {
        let database = Database::find()?;
        let weed = weed::find_weed(workspace).ok_or_else(|| Failure::missing("there is no SeaweedFS, see above"))?;
        Ok(Self { database, weed })
    }
}

/// Starts everything, uploads the sample, and stays or checks.
pub fn session(
    workspace: &Workspace,
    programs: &Programs,
    folder: &Path,
    ports: Ports,
    stop: &ShutdownRequest,
    options: &Options,
    (servers, stores): (&Servers, usize),
) -> Outcome<()> {
    let files = ReplicaFiles::prepare(folder, stores)?;
    let (numbers, listener) = ports.into_parts();
    let layout = Layout::find_free(numbers.gateway, stores)?;
    let credentials = Credentials::load_or_create(files.demo())?;
    let hosts = Hosts::new(format!("127.0.0.1:{}", numbers.sample), &options.private_host, &options.allow_host);
    demo::prepare_policy_and_keys(workspace, programs, files.demo(), &credentials, &hosts)?;
    files.prepare_store_keys(programs)?;
    let login = Login::new(&credentials, "http", layout.balancer.callers)?;
    let link = login.link(numbers.sample);
    let sample = Sample::serve(&workspace.path("samples"), listener, login)?;

    let mut children = Children::default();
    start_shared(&mut children, stop, servers, &files, &layout)?;
    start_stores(&mut children, stop, programs, &files, &layout, &hosts)?;
    start_gateways(&mut children, stop, workspace, programs, &files, &layout)?;
    let reply = upload::upload_sample(layout.balancer.callers, &credentials, &sample.url)?;
    println!("\n{reply}\n");
    if options.check {
        upload::check_reply(&reply, &sample)?;
        let check = Check { layout: &layout, credentials: &credentials, sample: &sample };
        return check.run(&mut children, reply.field("id"));
    }
    reply.expect_success(files.demo())?;
    println!("{layout}");
    println!("console  {link}");
    println!("logs     {}", files.logs().display());
    println!("policy   {}\n", files.demo().policy().display());
    println!("{}", upload::format_request(layout.balancer.callers, &credentials, &sample.url, None));
    stop.wait_for_request(&mut children)
}

/// Which port is whose.
struct Layout {
    balancer: Balancer,
    database: u16,
    bucket: [u16; bucket::PORTS.len()],
}

impl Layout {
    fn find_free(callers: u16, stores: usize) -> Outcome<Self> {
        let mut free = find_free_below_ephemeral(bucket::PORTS.len() + 2 + 3 * GATEWAYS + stores)?.into_iter();
        let mut next = || free.next().ok_or_else(|| Failure::new("cannot find enough free ports"));
        let mut bucket = [0; bucket::PORTS.len()];
        for port in &mut bucket {
            *port = next()?;
        }
        let (database, inside) = (next()?, next()?);
        let mut gateways = Vec::new();
        for _ in 0..GATEWAYS {
            gateways.push(GatewayPorts { gateway: next()?, admin: next()?, status: next()?, upstream: inside });
        }
        let stores = (0..stores).map(|_| next()).collect::<Outcome<_>>()?;
        Ok(Self { balancer: Balancer { callers, inside, gateways, stores }, database, bucket })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "callers  http://127.0.0.1:{}, a load balancer before", self.balancer.callers)?;
        for ports in &self.balancer.gateways {
            writeln!(f, "gateway  http://127.0.0.1:{}, metrics at port {}, before", ports.gateway, ports.status)?;
        }
        for port in &self.balancer.stores {
            writeln!(f, "store    http://127.0.0.1:{port}/readyz, before")?;
        }
        write!(f, "shared   PostgreSQL at port {}, S3 at port {}", self.database, self.bucket[0])
    }
}

fn start_shared(
    children: &mut Children,
    stop: &ShutdownRequest,
    servers: &Servers,
    files: &ReplicaFiles,
    layout: &Layout,
) -> Outcome<()> {
    let Servers { database, weed } = servers;
    let connections = layout.balancer.stores.len() * CONNECTIONS_OF_A_STORE + SPARE_CONNECTIONS;
    let mut command = database.command(&files.database(), files.secrets(), layout.database, connections)?;
    children.start("PostgreSQL", &mut command, &files.log("postgres"))?;
    let bucket = Bucket { weed, folder: files.bucket(), ports: &layout.bucket };
    children.start("SeaweedFS", &mut bucket.command(files.secrets()), &files.log("seaweedfs"))?;
    stop.wait_until_ready(children, "PostgreSQL", || database.is_ready(layout.database))?;
    stop.wait_until_ready(children, "SeaweedFS", || bucket.is_ready())
}

fn start_stores(
    children: &mut Children,
    stop: &ShutdownRequest,
    programs: &Programs,
    files: &ReplicaFiles,
    layout: &Layout,
    hosts: &Hosts,
) -> Outcome<()> {
    let shared = files.write_store_settings(layout.database, layout.bucket[0])?;
    for (number, port) in (1..).zip(&layout.balancer.stores) {
        let mut command = store_command(programs, files.demo(), *port, hosts);
        command.envs(shared.iter().map(|(name, value)| (name, value))).env("LINKGATE_DATA_DIR", files.store(number));
        children.start(store_name(number), &mut command, &files.log(&format!("store-{number}")))?;
    }
    stop.wait_until_ready(children, "one of the stores", || {
        layout.balancer.stores.iter().all(|port| is_ok(*port, "/readyz"))
    })
}

fn start_gateways(
    children: &mut Children,
    stop: &ShutdownRequest,
    workspace: &Workspace,
    programs: &Programs,
    files: &ReplicaFiles,
    layout: &Layout,
) -> Outcome<()> {
    files.write_balancer(&layout.balancer)?;
    for (number, ports) in (1..).zip(&layout.balancer.gateways) {
        let config = files.gateway(number);
        demo::render_gateway(workspace, programs, files.demo(), &config, ports, (1, None))?;
        let mut command = envoy_command(programs, files.demo(), &config)?;
        children.start(gateway_name(number), &mut command, &files.log(&format!("gateway-{number}")))?;
    }
    let mut command: Command = Programs::command(&programs.envoy);
    command.arg("-c").arg(files.balancer()).args(["--concurrency", "1", "--use-dynamic-base-id"]);
    children.start("the load balancer", &mut command, &files.log("balancer"))?;
    stop.wait_until_ready(children, "one of the gateways", || {
        let is_ready = |ports: &GatewayPorts| is_ok(ports.admin, "/ready") && http::is_listening(ports.gateway);
        layout.balancer.gateways.iter().all(is_ready)
    })?;
    stop.wait_until_ready(children, "the load balancer", || is_ok(layout.balancer.callers, "/readyz"))
}

fn store_name(number: usize) -> String {
    format!("store {number}")
}

fn gateway_name(number: usize) -> String {
    format!("gateway {number}")
}

/// What must hold of what has been started.
struct Check<'a> {
    layout: &'a Layout,
    credentials: &'a Credentials,
    sample: &'a Sample,
}

impl Check<'_> {
    fn run(&self, children: &mut Children, id: Option<&Value>) -> Outcome<()> {
        let Balancer { callers, gateways, stores, .. } = &self.layout.balancer;
        upload::check_wrong_secret(*callers, self.credentials, &self.sample.url)?;
        for ports in gateways {
            self.overwrite(ports.gateway, id)?;
        }
        // Each time somebody else may answer, and all say the same.
        for _ in 0..2 * stores.len() {
            self.overwrite(*callers, id)?;
        }
        if stores.len() > 1 {
            children.kill(&store_name(1))?;
            self.overwrite_several(id)?;
        }
        children.kill(&gateway_name(1))?;
        self.overwrite_several(id)?;
        children.check_running()?;
        println!(
            "ok: {GATEWAYS} gateways and {} stores answer as one, also after one of each was killed",
            stores.len()
        );
        Ok(())
    }

    /// The package is one for all: it has the same number, whoever answers.
    fn overwrite(&self, port: u16, id: Option<&Value>) -> Outcome<()> {
        let reply = upload::upload_sample(port, self.credentials, &self.sample.url)?;
        upload::check_reply(&reply, self.sample)?;
        match reply.field("id") == id {
            true => Ok(()),
            false => {
                Err(Failure::new(format!("a package that is overwritten must have the same id as before:\n{reply}")))
            }
        }
    }

    fn overwrite_several(&self, id: Option<&Value>) -> Outcome<()> {
        (0..4).try_for_each(|_| self.overwrite(self.layout.balancer.callers, id))
    }
}
