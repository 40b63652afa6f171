//! The bucket: SeaweedFS in one process.

use std::path::{Path, PathBuf};
use std::process::Command;

use secrecy::ExposeSecret;

use super::files::Secrets;
use crate::up::is_ok;

/// The bucket's name.
pub const BUCKET: &str = "linkgate";
/// By which name the stores are known to it.
pub const KEY_ID: &str = "linkgate-store";
/// Which ports it wants, that of S3 first and the one that knows of buckets second.
pub const PORTS: [&str; 10] = [
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

/// A server with one bucket.
pub struct Bucket<'a> {
    /// The program.
    pub weed: &'a Path,
    /// Its data.
    pub folder: PathBuf,
    /// Its ports.
    pub ports: &'a [u16; PORTS.len()],
}

impl Bucket<'_> {
    /// What starts it.
    pub fn command(&self, secrets: &Secrets) -> Command {
        let mut command = Command::new(self.weed);
        command.env("AWS_ACCESS_KEY_ID", KEY_ID);
        command.env("AWS_SECRET_ACCESS_KEY", secrets.bucket.expose_secret());
        let dir = self.folder.display();
        command.arg(format!("-logdir={dir}")).arg("mini").arg(format!("-dir={dir}")).arg(format!("-bucket={BUCKET}"));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.args(["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-s3.autoCreateBucket=false"]);
        command.arg("-volume.preStopSeconds=0");
        command.args(PORTS.iter().zip(self.ports).map(|(name, port)| format!("-{name}={port}")));
        command
    }

    /// Whether it takes objects.
    pub fn is_ready(&self) -> bool {
        is_ok(self.ports[0], "/healthz") && is_ok(self.ports[1], &format!("/buckets/{BUCKET}/?limit=1"))
    }
}
