//! The store in this process, on a free port, with a data directory of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use linkgate_archive::Opaque;
use linkgate_contract::{AllowList, HostRule};
use linkgate_store::StartError;
use linkgate_store::config::Config;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::stack::{Caller, TestStack};
use crate::{DataDirectory, FakeSource, TokenMint, engine};

/// A store that runs in this process. Dropping it fails the test if a temporary file is left.
pub struct InProcess {
    directory: DataDirectory,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), StartError>>,
    _dir: tempfile::TempDir,
}

/// A store in this process.
pub type TestStore = TestStack<InProcess>;

/// Lets a store read these sources, though they are on this machine.
pub fn trust(config: &mut Config, sources: &[&FakeSource]) {
    let rules = || sources.iter().map(|s| HostRule::new(&s.host()).unwrap()).collect();
    config.fetch.allowed_hosts = AllowList::new(rules());
    config.fetch.private_hosts = AllowList::new(rules());
}

/// Lets a store take files that are no archives. A test says why a package would not do.
pub fn allow_unknown_formats(config: &mut Config, why: &str) {
    assert!(!why.is_empty(), "say why");
    config.packages.opaque = Opaque::Allow;
}

impl TestStack<InProcess> {
    /// A store with the default settings that may read this source.
    pub async fn trusting(source: &FakeSource) -> Self {
        Self::with(|config| trust(config, &[source])).await
    }

    /// A store with the default settings, short delays between attempts, and one change.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (dir, mint) = (tempfile::tempdir().unwrap(), TokenMint::new());
        let data_dir = dir.path().join("data");
        let own = [("LINKGATE_DATA_DIR", data_dir.display().to_string()), ("LINKGATE_JWT_PUBLIC_KEYS", mint.setting())];
        let vars = engine::settings(&data_dir, &[]).into_iter().chain(own);
        let vars: BTreeMap<String, String> = vars.map(|(name, value)| (name.to_owned(), value)).collect();
        let mut config = Config::from_vars(&vars).unwrap();
        // The source here is never the better for waiting.
        config.fetch.retry_delay = Duration::from_millis(1);
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let directory = DataDirectory::new(config.data_dir.clone());
        let task = tokio::spawn(linkgate_store::run(listener, config, async {
            let _sent_or_dropped = stopped.await;
        }));
        let size = InProcess { directory: directory.clone(), stop: Some(stop), task, _dir: dir };
        let store = Self { base, directory, caller: Caller::Gate(Box::new(mint)), size };
        // Answers once it has started; until then the connection waits in the kernel's queue.
        assert_eq!(store.get("/healthz").await.status, 200);
        store
    }

    /// Begins to stop, without waiting.
    pub fn begin_stop(&mut self) {
        drop(self.size.stop.take());
    }

    /// Stops it and waits; fails if anything is left.
    pub async fn finish(mut self) {
        self.begin_stop();
        (&mut self.size.task).await.unwrap().unwrap();
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.directory.temp_files(), Vec::<PathBuf>::new(), "no temporary file may be left");
        }
    }
}
