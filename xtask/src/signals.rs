//! Ending when asked to.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

use crate::error::{Outcome, Trying};

/// Ctrl-C, a request to end, and a terminal that is closed.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Ends the process with this code at the first signal. The first process of a container or namespace ignores signals
/// that it does not ask for.
pub fn exit_on_signals(code: i32) -> Outcome<()> {
    for signal in SIGNALS {
        register_conditional_shutdown(signal, code, Arc::new(true.into())).trying(listen)?;
    }
    Ok(())
}

/// A flag that the first signal sets; the second one ends the process with 130.
pub fn flag_signals() -> Outcome<Arc<AtomicBool>> {
    let requested = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        register_conditional_shutdown(signal, 130, Arc::clone(&requested))
            .and_then(|_| register(signal, Arc::clone(&requested)))
            .trying(listen)?;
    }
    Ok(requested)
}

fn listen() -> String {
    "listen for Ctrl-C".to_owned()
}
