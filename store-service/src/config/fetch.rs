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
    /// `LINKGATE_FETCH_TOTAL_TIMEOUT_S`: seconds for the whole download with its redirects. Default 600.
    pub total_timeout: Duration,
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
        }
    }
}
