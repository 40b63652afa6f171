//! A real web server with packages that only those get who prove that they may.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::net::{TcpListener, TcpStream};

use crate::wait::wait_until;

/// nginx. Killed when dropped.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Nginx {
    /// Serves files below a folder of its own by these `location` blocks.
    ///
    /// # Panics
    /// If nginx is not installed or does not start.
    pub async fn start(locations: &str) -> Self {
        Self::start_in(&std::env::temp_dir(), locations).await
    }

    /// The same with its folder in this one.
    ///
    /// # Panics
    /// If nginx is not installed or does not start.
    pub async fn start_in(root: &Path, locations: &str) -> Self {
        let dir = tempfile::tempdir_in(root).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = dir.path().join("nginx.conf");
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::fs::write(&config, configuration(dir.path(), address, locations)).unwrap();
        // Whoever runs tests may be root, and its workers are then somebody else.
        open_to_all(dir.path());
        let mut command = Command::new("nginx");
        let child = command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("nginx starts: install Debian's nginx-light");
        let nginx = Self { child, address, dir };
        wait_until(async || TcpStream::connect(address).await.map(drop).map_err(|error| error.to_string())).await;
        nginx
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A link to a path.
    #[must_use]
    pub fn url_of(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where a file below its root is.
    #[must_use]
    pub fn file(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join("root").join(path.trim_start_matches('/'))
    }

    /// Puts a file below its root.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let file = self.file(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// Puts a file beside its configuration, for the configuration to name.
    pub fn put_beside(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// Path and status of each request so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn configuration(dir: &Path, listen: SocketAddr, locations: &str) -> String {
    let dir = dir.display();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/error.log;\nevents {{}}\nhttp {{\n{temp}\
         log_format short '$uri $status';\naccess_log {dir}/access.log short;\n\
         server {{\nlisten {listen};\nroot {dir}/root;\n{}\n}}\n}}\n",
        locations.replace("DIR", &dir.to_string())
    )
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}
