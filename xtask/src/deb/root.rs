//! A root of Debian: made once by debootstrap, copied for each run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::ExposeSecret;

use crate::dist::Contents;
use crate::envoy;
use crate::error::{Failure, Outcome, Trying};
use crate::images::files::remove_folder;
use crate::run::{probe, run};
use crate::up::authority;
use crate::up::demo::{self, Credentials};
use crate::up::files::{make_private_folder, write_atomically};
use crate::up::sample;
use crate::workspace::Workspace;

const SUITE: &str = "bookworm";
/// What the guide's commands are beside those of Debian's smallest root.
const PACKAGES: &str = "ca-certificates,curl";
/// Written into the base when it is whole.
const DONE: &str = "etc/linkgate-base";
const SYSTEMCTL: &str = include_str!("systemctl.sh");
/// Where the guide's commands are run.
const HOME: &str = "root";
/// Inside of the namespaces: a network of its own with nothing but the loopback address, the processes of the root alone.
const ENTER: &str = r#"
    ip link set lo up
    mount -t proc proc "$1/proc"
    mount -t devpts devpts "$1/dev/pts"
    mount -t tmpfs tmpfs "$1/run"
    cd "$1"
    exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 bash -c 'cd /root && bash guide.sh'
"#;

/// A copy in which things are tried.
pub struct Root(PathBuf);

impl Root {
    /// The base, made if it is not there.
    pub fn find_base(workspace: &Workspace) -> Outcome<PathBuf> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::missing("only root can make a root of Debian: run it as root"));
        }
        let base = workspace.target.join("deb").join(SUITE);
        if base.join(DONE).is_file() {
            return Ok(base);
        }
        if probe("debootstrap", &["--version"]).is_none() {
            return Err(Failure::missing("debootstrap is missing: install it (Debian: debootstrap)"));
        }
        remove_folder(&base)?;
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE]).arg(&base);
        run(&mut make).map_err(|failure| Failure::missing(format!("no root of Debian could be made: {failure}")))?;
        fs::write(base.join(DONE), "").trying(|| format!("write {}", base.display()))?;
        Ok(base)
    }

    /// A fresh copy.
    pub fn copy(workspace: &Workspace, base: &Path) -> Outcome<Self> {
        let root = workspace.target.join("deb/check");
        remove_folder(&root)?;
        run(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(base).arg(&root))?;
        Ok(Self(root))
    }

    /// Puts there what the guide takes for granted: packages of these versions, Envoy, certificates, a policy, and a caller.
    pub fn prepare(&self, workspace: &Workspace, contents: &Contents, versions: &[String]) -> Outcome<()> {
        let home = self.0.join(HOME);
        for version in versions {
            contents.pack_deb(workspace, version, &home)?;
        }
        let envoy = envoy::find_envoy(workspace)?;
        self.install(&envoy, "usr/local/bin/envoy")?;
        write_atomically(&self.0.join("usr/local/bin/systemctl"), SYSTEMCTL.as_bytes(), 0o755)?;
        for (name, text, mode) in authority::issue_twice("localhost")? {
            write_atomically(&home.join(name), text.as_bytes(), mode)?;
        }
        let package = home.join("app.tar.gz");
        fs::write(&package, sample::pack_sample(&workspace.path("samples"))?)
            .trying(|| format!("write {}", package.display()))?;
        write_atomically(&self.0.join("etc/hosts"), b"127.0.0.1 localhost\n", 0o644)?;
        self.prepare_caller(workspace)
    }

    /// A policy that knows a caller, and the caller's profile.
    fn prepare_caller(&self, workspace: &Workspace) -> Outcome<()> {
        let (home, demo) = (self.0.join(HOME), self.0.join(HOME).join("demo"));
        demo::prepare_policy(&demo, &workspace.path("policy.yaml"), "packages.example.com")?;
        fs::copy(demo.join("policy.yaml"), home.join("policy.yaml")).trying(|| "copy the policy".to_owned())?;
        let credentials = Credentials::load(&demo.join("demo.env"))?;
        let profile = format!(
            "default_profile = \"check\"\n\n[profiles.check]\ngateway = \"https://localhost:8443/stag\"\napp_code = \"{}\"\n\
             app = \"app_code\"\nca_file = \"/{HOME}/ca.crt\"\napp_secret = \"{}\"\nbk_ticket = \"{}\"\n",
            demo::APP,
            credentials.secret.expose_secret(),
            credentials.ticket.expose_secret(),
        );
        let folder = home.join(".config/linkgate");
        make_private_folder(&folder)?;
        write_atomically(&folder.join("config.toml"), profile.as_bytes(), 0o600)
    }

    fn install(&self, from: &Path, to: &str) -> Outcome<()> {
        run(Command::new("install").args(["-D", "-m", "755"]).arg(from).arg(self.0.join(to)))
    }

    /// Runs a script there, as root.
    pub fn run(&self, script: &str) -> Outcome<()> {
        write_atomically(&self.0.join(HOME).join("guide.sh"), script.as_bytes(), 0o600)?;
        let mut enter = Command::new("unshare");
        enter.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-ec", ENTER, "sh"]);
        run(enter.arg(&self.0)).map_err(|failure| {
            Failure::new(format!("{failure}\nthe root stays for a look, its logs are in {}/var/log", self.0.display()))
        })
    }

    /// Whether a path is there.
    pub fn holds(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it.
    pub fn remove(&self) -> Outcome<()> {
        remove_folder(&self.0)
    }
}
