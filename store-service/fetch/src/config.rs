//! Settings of the download.

use std::time::Duration;

use linkgate_contract::AllowList;

use crate::credentials::Credentials;
use crate::proxy::EgressProxy;
use crate::trust::HostTls;

/// How links are read.
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Where links and redirects may point to. Default none: every link is refused.
    pub allowed_hosts: AllowList,
    /// Hosts that may have addresses which are not public. Such a host must be allowed as well. Default none.
    pub private_hosts: AllowList,
    /// What the operator proves to sources. Default none.
    pub credentials: Credentials,
    /// Hosts to which credentials go over plain HTTP as well. Default none.
    pub credentials_over_http: AllowList,
    /// The largest file. Default 1 GiB.
    pub max_bytes: u64,
    /// How long resolving, connecting and shaking hands may take, for each redirect. Default 10 s.
    pub connect_timeout: Duration,
    /// How long no byte may come, before the head or in the body. Default 30 s.
    pub idle_timeout: Duration,
    /// How long a download may wait for heads, before its body begins: with connections, redirects and attempts. Default 30 s.
    pub head_timeout: Duration,
    /// How long the whole download may take with its redirects and attempts. Default 600 s.
    pub total_timeout: Duration,
    /// Bytes per second that a body must bring; 0 for any. Default 1024.
    pub min_rate: u64,
    /// Over how long they are counted. Default 30 s.
    pub min_rate_window: Duration,
    /// The wait before the second attempt, at most; twice that before the third, and so on. Default 500 ms.
    pub retry_delay: Duration,
    /// The proxy through which links are read. Default none.
    pub proxy: Option<EgressProxy>,
    /// What TLS needs to know of single hosts. Default nothing.
    pub host_tls: HostTls,
    /// Connections for one large file of a slow source; 1 for never more than one. Default 4.
    pub parallel: usize,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            allowed_hosts: AllowList::default(),
            private_hosts: AllowList::default(),
            credentials: Credentials::default(),
            credentials_over_http: AllowList::default(),
            max_bytes: 1 << 30,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(600),
            min_rate: 1 << 10,
            min_rate_window: Duration::from_secs(30),
            retry_delay: Duration::from_millis(500),
            proxy: None,
            host_tls: HostTls::default(),
            parallel: 4,
        }
    }
}
