//! When to stop: Ctrl-C, a request to end, or a child that ended by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::children::Children;
use crate::error::{Failure, Outcome, Trying};

/// How long anything may take to get ready.
const PATIENCE: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_millis(50);

/// Whether the person at the terminal had enough.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for Ctrl-C and its like from now on; the second one ends at once.
    pub fn listen() -> Outcome<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .trying(|| "listen for Ctrl-C".to_owned())?;
        }
        Ok(Self(asked))
    }

    fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until something is ready.
    ///
    /// # Errors
    /// It is not in time, a child ended, or we were asked to stop.
    pub fn wait(&self, children: &mut Children, what: &str, ready: impl Fn() -> bool) -> Outcome<()> {
        let start = Instant::now();
        while !ready() {
            children.all_live()?;
            if self.asked() {
                return Err(Failure::new("stopped before everything was ready"));
            }
            if start.elapsed() > PATIENCE {
                return Err(children.with_logs(&format!("{what} was not ready after {} s", PATIENCE.as_secs())));
            }
            sleep(BEAT);
        }
        Ok(())
    }

    /// Stays until asked to stop, or until a child ends.
    pub fn stay(&self, children: &mut Children) -> Outcome<()> {
        while !self.asked() {
            children.all_live()?;
            sleep(BEAT);
        }
        println!("\nstopping");
        Ok(())
    }
}
