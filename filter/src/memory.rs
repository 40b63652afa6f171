//! What a VM keeps while policies come and go: the worker's memory, and the host's numbers for its metrics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use linkgate_gate::{SharedData, Unavailable, Worker};

use crate::host::{self, Level, Metric, Status};

thread_local! {
    static WORKER: Rc<Worker> = Rc::new(Worker::new(Box::new(HostShared), entropy()));
    /// By name; each is defined once, for the host makes a new one each time it is told.
    static METRICS: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// The memory of this worker.
pub fn worker() -> Rc<Worker> {
    WORKER.with(Rc::clone)
}

/// Random bytes, or zeros: without randomness a request is named by zeros and the worker remembers less; nothing traps.
pub fn entropy() -> [u8; 16] {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = [0; 16];
    }
    bytes
}

struct HostShared;

impl SharedData for HostShared {
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        host::get_shared_data(key).map_err(|error| unavailable(&error))
    }

    fn set(&self, key: &str, value: &[u8], generation: u32) -> Result<bool, Unavailable> {
        host::set_shared_data(key, value, generation).map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &Status) -> Unavailable {
    host::log(
        Level::Error,
        &format!(
            "Cannot use the proxy's shared data: {error:?}; answering requests under a limit, and signed ones, with 500"
        ),
    );
    Unavailable
}

/// Hands what was counted to the host.
pub fn flush() {
    let counts = worker().take_counts();
    for (name, count) in counts.counters {
        add(Metric::Counter, &name, i64::try_from(count).unwrap_or(i64::MAX));
    }
    for (name, value) in counts.durations_ms {
        metric(Metric::Histogram, &name, |id| host::record_metric(id, value));
    }
}

/// Moves a counter or gauge.
pub fn add(kind: Metric, name: &str, delta: i64) {
    metric(kind, name, |id| host::increment_metric(id, delta));
}

fn metric(kind: Metric, name: &str, change: impl FnOnce(u32) -> Result<(), Status>) {
    if let Err(error) = id_of(kind, name).and_then(change) {
        host::log(Level::Error, &format!("Cannot count `{name}`: {error:?}; the metric shows too little"));
    }
}

fn id_of(kind: Metric, name: &str) -> Result<u32, Status> {
    METRICS.with(|metrics| {
        let known = metrics.try_borrow().ok().and_then(|metrics| metrics.get(name).copied());
        if let Some(id) = known {
            return Ok(id);
        }
        let id = host::define_metric(kind, name)?;
        if let Ok(mut metrics) = metrics.try_borrow_mut() {
            metrics.insert(name.to_owned(), id);
        }
        Ok(id)
    })
}
