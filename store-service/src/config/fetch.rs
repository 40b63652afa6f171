//! Settings of the download.

use std::time::Duration;

use linkgate_contract::AllowList;

use super::vars::{Reader, Vars};

pub(super) const ALLOWED_HOSTS: &str = "LINKGATE_FETCH_ALLOWED_HOSTS";
pub(super) const PRIVATE_HOSTS: &str = "LINKGATE_FETCH_PRIVATE_HOSTS";
pub(super) const MAX_BYTES: &str = "LINKGATE_FETCH_MAX_BYTES";
pub(super) const CONNECT_TIMEOUT: &str = "LINKGATE_FETCH_CONNECT_TIMEOUT_S";
pub(super) const IDLE_TIMEOUT: &str = "LINKGATE_FETCH_IDLE_TIMEOUT_S";
pub(super) const TOTAL_TIMEOUT: &str = "LINKGATE_FETCH_TOTAL_TIMEOUT_S";
pub(super) const MIN_RATE: &str = "LINKGATE_FETCH_MIN_RATE";
pub(super) const MIN_RATE_WINDOW: &str = "LINKGATE_FETCH_MIN_RATE_WINDOW_S";
pub(super) const PARALLEL: &str = "LINKGATE_FETCH_PARALLEL";
pub(super) const RETRY_DELAY: &str = "LINKGATE_FETCH_RETRY_DELAY_MS";

/// How links are read.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// `LINKGATE_FETCH_ALLOWED_HOSTS`: comma list of `host` or `host:port` that links and redirects may point to.
    /// Default empty: every link is refused.
    pub allowed_hosts: AllowList,
    /// `LINKGATE_FETCH_PRIVATE_HOSTS`: comma list, same form, of hosts that may have addresses which are not public.
    /// Such a host must be allowed as well. Default empty.
    pub private_hosts: AllowList,
    /// `LINKGATE_FETCH_MAX_BYTES`: largest package. Default 1073741824 (1 GiB).
    pub max_bytes: u64,
    /// `LINKGATE_FETCH_CONNECT_TIMEOUT_S`: seconds to resolve, connect and shake hands, at each hop. Default 10.
    pub connect_timeout: Duration,
    /// `LINKGATE_FETCH_IDLE_TIMEOUT_S`: seconds without a byte, before the head or in the body. Default 30.
    pub idle_timeout: Duration,
    /// `LINKGATE_FETCH_TOTAL_TIMEOUT_S`: seconds for the whole download with its redirects and attempts. Default 600.
    pub total_timeout: Duration,
    /// `LINKGATE_FETCH_MIN_RATE`: bytes per second that a body must bring; 0 for any. Default 1024.
    pub min_rate: u64,
    /// `LINKGATE_FETCH_MIN_RATE_WINDOW_S`: seconds over which they are counted. Default 30.
    pub min_rate_window: Duration,
    /// `LINKGATE_FETCH_RETRY_DELAY_MS`: milliseconds before the second attempt, at most; twice that before the third, and
    /// so on. Default 500.
    pub retry_delay: Duration,
    /// `LINKGATE_FETCH_PARALLEL`: connections for one large file of a slow source; 1 for never more than one. Default 4.
    pub parallel: usize,
}

impl FetchConfig {
    pub(super) fn read(reader: &mut Reader<'_, impl Vars>) -> Self {
        Self {
            allowed_hosts: reader.hosts(ALLOWED_HOSTS),
            private_hosts: reader.hosts(PRIVATE_HOSTS),
            // Sizes are booked as signed 64-bit numbers.
            max_bytes: reader.number(MAX_BYTES, 1 << 30, 1..=i64::MAX as u64),
            connect_timeout: reader.seconds(CONNECT_TIMEOUT, 10),
            idle_timeout: reader.seconds(IDLE_TIMEOUT, 30),
            total_timeout: reader.seconds(TOTAL_TIMEOUT, 600),
            min_rate: reader.number(MIN_RATE, 1 << 10, 0..=1 << 40),
            min_rate_window: reader.seconds(MIN_RATE_WINDOW, 30),
            retry_delay: Duration::from_millis(reader.number(RETRY_DELAY, 500, 1..=60_000)),
            parallel: reader.number(PARALLEL, 4, 1..=16),
        }
    }
}
