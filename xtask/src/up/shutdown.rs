//! When to stop: Ctrl-C, a request to end, or a child that ended by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::children::Children;
use crate::error::{Failure, Outcome};
use crate::poll::poll_until;
use crate::signals::flag_signals;

/// How long anything may take to get ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// Whether the person at the terminal had enough.
pub struct ShutdownRequest(Arc<AtomicBool>);

impl ShutdownRequest {
    /// Listens for Ctrl-C and its like from now on; the second one ends at once.
    pub fn listen() -> Outcome<Self> {
        flag_signals().map(Self)
    }

    fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until something is ready, as long as nobody asks to stop.
    ///
    /// # Errors
    /// It is not in time, a child ended, or we were asked to stop.
    pub fn wait_until_ready(&self, children: &mut Children, what: &str, ready: impl Fn() -> bool) -> Outcome<()> {
        let is_ready = poll_until(READY_TIMEOUT, POLL_PAUSE, || {
            children.check_running()?;
            if self.is_requested() {
                return Err(Failure::new("stopped before everything was ready"));
            }
            Ok(ready())
        })?;
        if is_ready {
            return Ok(());
        }
        Err(children.with_logs(&format!("{what} was not ready after {} s", READY_TIMEOUT.as_secs())))
    }

    /// Waits until asked to stop; fails if a child ends.
    pub fn wait_for_request(&self, children: &mut Children) -> Outcome<()> {
        while !self.is_requested() {
            children.check_running()?;
            sleep(POLL_PAUSE);
        }
        println!("\nstopping");
        Ok(())
    }
}
