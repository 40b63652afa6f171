//! Callers who upload without a pause, so that packages come and go, and remember what they were promised.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use linkgate_tests::{Behaviour, FakeSource, LinkRequestBuilder, StoreProcess, package_of, sha256_hex};
use tokio::task::JoinHandle;

const WRITERS: usize = 4;

/// Digests by version.
pub(super) type Promised = BTreeMap<String, String>;

/// Writers at work. Each links new versions, which are promised for good, and overwrites one version over and over.
pub(super) struct Writers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    name: String,
    source: Arc<FakeSource>,
    request: LinkRequestBuilder,
    base: String,
    stop: AtomicBool,
    promised: Mutex<Promised>,
}

impl Writers {
    /// Begins; `name` tells their versions from those of others.
    pub(super) fn start(name: &str, source: &Arc<FakeSource>, store: &StoreProcess) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            source: Arc::clone(source),
            request: store.request(source.url()),
            base: store.base().to_owned(),
            stop: AtomicBool::new(false),
            promised: Mutex::default(),
        });
        let tasks = (0..WRITERS).map(|writer| tokio::spawn(write(Arc::clone(&shared), writer))).collect();
        Self { shared, tasks }
    }

    /// What was acknowledged until now.
    pub(super) fn promised(&self) -> Promised {
        self.shared.promised.lock().unwrap().clone()
    }

    /// Ends them.
    pub(super) async fn end(self) -> Promised {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.shared.promised.lock().unwrap().clone()
    }
}

/// Ends by itself when the store goes away.
async fn write(shared: Arc<Shared>, writer: usize) {
    for round in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let own = format!("{}.{writer}", shared.name);
        for (version, overwrites) in [(format!("{own}.{round}"), false), (format!("{own}.over"), true)] {
            let (path, body) = (format!("/{version}/{round}"), package_of(format!("{version} {round}")));
            shared.source.on(&path, Behaviour::Bytes(body.clone()));
            let request = shared.request.clone().field("package_url", shared.source.url_of(&path)).version(&version);
            let request = if overwrites { request.overwriting() } else { request };
            let Ok(reply) = request.try_send(&shared.base).await else { return };
            assert_eq!(reply.status, 200, "{reply:?}");
            if !overwrites {
                shared.promised.lock().unwrap().insert(version, sha256_hex(&body));
            }
        }
    }
}
