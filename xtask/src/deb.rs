//! `cargo xtask deb`: the Debian package, and with `--check` the operator's guide, command by command, in a root of Debian in
//! which nothing else is.
//!
//! Promises: what is run is what the guide says, in its order, until one fails; all of it in namespaces of its own, so that
//! nothing stays behind and nothing is reached but what was started there. Where that cannot be had it says so and ends with 2.

mod guide;
mod root;

use std::fs;

use clap::Args;

use crate::dist::{self, Contents};
use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;
use guide::Guide;
use root::Root;

/// Flags of `deb`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    dist: dist::Options,
    /// Run the commands of docs/DEPLOYMENT.md in a fresh root of Debian; needs root, debootstrap and the network
    #[arg(long)]
    check: bool,
}

/// Packs the package, and tries it.
pub fn deb(workspace: &Workspace, options: &Options) -> Outcome<()> {
    let base = options.check.then(|| Root::find_base(workspace)).transpose()?;
    let contents = Contents::build(workspace, options.dist.quick)?;
    let Some(base) = base else {
        let folder = options.dist.folder(workspace);
        fs::create_dir_all(&folder).trying(|| format!("make {}", folder.display()))?;
        let package = contents.pack_deb(workspace, &contents.release.version, &folder)?;
        println!("{}", package.display());
        return Ok(());
    };
    let guide = Guide::read(workspace)?;
    let root = Root::copy(workspace, &base)?;
    root.prepare(workspace, &contents, &guide.packages())?;
    root.run(&guide.script())?;
    check_purged(&root)?;
    root.remove()?;
    println!("ok: {} commands of the guide, from the installation to the purge", guide.count());
    Ok(())
}

/// What a purge must leave, and what not.
fn check_purged(root: &Root) -> Outcome<()> {
    for (path, stays) in [
        ("usr/bin/linkgate", false),
        ("usr/share/linkgate", false),
        ("usr/lib/systemd/system/linkgate-store.service", false),
        ("etc/linkgate", false),
        ("var/lib/linkgate/catalog.sqlite3", true),
    ] {
        if root.holds(path) != stays {
            let what = if stays { "is gone" } else { "is still there" };
            return Err(Failure::new(format!("/{path} {what} after the purge; the root is {}", root.path().display())));
        }
    }
    Ok(())
}
