//! Settings of the download.

use std::time::Duration;

use linkgate_contract::AllowList;

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
