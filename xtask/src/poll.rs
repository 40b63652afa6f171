//! Waiting until something is so.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Outcome;

/// Asks again after each pause until it holds; `false`: it did not within the timeout.
pub fn poll_until(timeout: Duration, pause: Duration, mut holds: impl FnMut() -> Outcome<bool>) -> Outcome<bool> {
    let begun = Instant::now();
    loop {
        if holds()? {
            return Ok(true);
        }
        if begun.elapsed() > timeout {
            return Ok(false);
        }
        sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    #[test]
    fn it_ends_when_it_holds_or_fails_or_takes_too_long() {
        let mut looks = 0;
        let holds = poll_until(Duration::from_secs(60), Duration::ZERO, || {
            looks += 1;
            Ok(looks == 3)
        });
        assert!(holds.unwrap());
        assert_eq!(looks, 3);
        assert!(!poll_until(Duration::ZERO, Duration::from_millis(1), || Ok(false)).unwrap());
        assert!(poll_until(Duration::from_secs(60), Duration::ZERO, || Err(Failure::new("down"))).is_err());
    }
}
