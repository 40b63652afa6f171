//! Settings of the download.

use std::path::Path;
use std::time::Duration;

use linkgate_fetch::{EgressProxy, FetchConfig, ProxyException};
use secrecy::ExposeSecret as _;

use super::credentials::read_credentials;
use super::host_tls::read_host_tls;
use super::private_file::read_private_file;
use super::vars::{Reader, Vars};

pub(super) const ALLOWED_HOSTS: &str = "LINKGATE_FETCH_ALLOWED_HOSTS";
pub(super) const PRIVATE_HOSTS: &str = "LINKGATE_FETCH_PRIVATE_HOSTS";
pub(super) const CREDENTIALS_OVER_HTTP: &str = "LINKGATE_FETCH_CREDENTIALS_OVER_HTTP";
pub(super) const MAX_BYTES: &str = "LINKGATE_FETCH_MAX_BYTES";
pub(super) const CONNECT_TIMEOUT: &str = "LINKGATE_FETCH_CONNECT_TIMEOUT_S";
pub(super) const IDLE_TIMEOUT: &str = "LINKGATE_FETCH_IDLE_TIMEOUT_S";
pub(super) const HEAD_TIMEOUT: &str = "LINKGATE_FETCH_HEAD_TIMEOUT_S";
pub(super) const TOTAL_TIMEOUT: &str = "LINKGATE_FETCH_TOTAL_TIMEOUT_S";
pub(super) const MIN_RATE: &str = "LINKGATE_FETCH_MIN_RATE";
pub(super) const MIN_RATE_WINDOW: &str = "LINKGATE_FETCH_MIN_RATE_WINDOW_S";
pub(super) const PARALLEL: &str = "LINKGATE_FETCH_PARALLEL";
pub(super) const RETRY_DELAY: &str = "LINKGATE_FETCH_RETRY_DELAY_MS";
pub(super) const PROXY: &str = "LINKGATE_FETCH_PROXY";
pub(super) const PROXY_CREDENTIALS: &str = "LINKGATE_FETCH_PROXY_CREDENTIALS_FILE";
pub(super) const NO_PROXY: &str = "LINKGATE_FETCH_NO_PROXY";

/// - `LINKGATE_FETCH_ALLOWED_HOSTS`: hosts that links and redirects may point to: comma list of `host` or
///   `host:port`; without a port the default one of the link's scheme is meant; IPv6 in brackets; no wildcards.
///   Default empty: every link is refused, with a warning at start.
/// - `LINKGATE_FETCH_PRIVATE_HOSTS`: hosts, in the same form, that may have addresses which are not public; they must
///   be allowed as well. The gate's token may add some for one upload. Default empty.
/// - `LINKGATE_FETCH_CREDENTIALS_OVER_HTTP`: hosts, in the form of `LINKGATE_FETCH_ALLOWED_HOSTS`, to which
///   credentials go over plain `http` as well; else such links are refused. Default empty.
/// - `LINKGATE_FETCH_MAX_BYTES`: largest package, whatever the source says; a larger one gets `PACKAGE_TOO_LARGE`.
///   Bytes, 1–9223372036854775807. Default `1073741824` (1 GiB).
/// - `LINKGATE_FETCH_CONNECT_TIMEOUT_S`: time to resolve, connect and shake hands, at each redirect anew. Seconds,
///   1–86400. Default `10`.
/// - `LINKGATE_FETCH_IDLE_TIMEOUT_S`: time without a byte, before the head or in the body. Seconds, 1–86400. Default
///   `30`.
/// - `LINKGATE_FETCH_HEAD_TIMEOUT_S`: time that one download may wait for heads, before its body begins, with
///   connections, redirects and all attempts. Seconds, 1–86400. Default `30`.
/// - `LINKGATE_FETCH_TOTAL_TIMEOUT_S`: time for the whole download with its redirects, its attempts and the waits
///   between them. Seconds, 1–86400. Default `600`.
/// - `LINKGATE_FETCH_MIN_RATE`: minimum rate of a body, so that a source that drips does not hold up others; less
///   over a whole window is `SOURCE_TIMEOUT`. Only the time that the store waits for the source counts. 0: any speed.
///   Bytes per second, 0–1099511627776. Default `1024`.
/// - `LINKGATE_FETCH_MIN_RATE_WINDOW_S`: the window; the store gives a source up at the latest one window and one
///   idle timeout after it became too slow. Seconds, 1–86400. Default `30`.
/// - `LINKGATE_FETCH_RETRY_DELAY_MS`: longest wait before the second attempt of a download that failed for a moment;
///   twice that before the third, four times before the fourth and last. The real wait is a random part between half
///   and all of it. Milliseconds, 1–60000. Default `500`.
/// - `LINKGATE_FETCH_PARALLEL`: connections for one large file of a slow source: of 64 MiB and more, from a source that takes
///   ranges and has a validator, whose first 8 MiB came at under 64 MiB/s. Two downloads of a store do this at once. 1: never
///   more than one. Connections, 1–16. Default `4`.
/// - `LINKGATE_FETCH_PROXY`: the proxy through which the store reads links, `http://host:port` or
///   `https://host:port`, without user and password. Default: none, and the store connects to sources itself.
/// - `LINKGATE_FETCH_PROXY_CREDENTIALS_FILE`: a file with `user:password` for that proxy, in one line. Only its owner
///   may read it (mode 600); the group may, too, if the file is root's and the store is not. Default none.
/// - `LINKGATE_FETCH_NO_PROXY`: hosts that the store connects to without the proxy: comma list of `host` (a name or
///   an address, any port), `.suffix` (names below it, not itself) and `10.0.0.0/8` (links whose host is such an
///   address; names are not resolved for it). Default empty.
pub(super) fn read_fetch_config(reader: &mut Reader<'_, impl Vars>) -> FetchConfig {
    let default = FetchConfig::default();
    FetchConfig {
        allowed_hosts: reader.hosts(ALLOWED_HOSTS),
        private_hosts: reader.hosts(PRIVATE_HOSTS),
        credentials: read_credentials(reader),
        credentials_over_http: reader.hosts(CREDENTIALS_OVER_HTTP),
        // Sizes are recorded as signed 64-bit numbers.
        max_bytes: reader.number(MAX_BYTES, default.max_bytes, 1..=i64::MAX as u64),
        connect_timeout: reader.seconds(CONNECT_TIMEOUT, default.connect_timeout.as_secs()),
        idle_timeout: reader.seconds(IDLE_TIMEOUT, default.idle_timeout.as_secs()),
        head_timeout: reader.seconds(HEAD_TIMEOUT, default.head_timeout.as_secs()),
        total_timeout: reader.seconds(TOTAL_TIMEOUT, default.total_timeout.as_secs()),
        min_rate: reader.number(MIN_RATE, default.min_rate, 0..=1 << 40),
        min_rate_window: reader.seconds(MIN_RATE_WINDOW, default.min_rate_window.as_secs()),
        retry_delay: Duration::from_millis(reader.number(RETRY_DELAY, 500, 1..=60_000)),
        parallel: reader.number(PARALLEL, default.parallel, 1..=16),
        proxy: read_proxy(reader),
        host_tls: read_host_tls(reader),
    }
}

fn read_proxy(reader: &mut Reader<'_, impl Vars>) -> Option<EgressProxy> {
    let exceptions = read_exceptions(reader);
    let credentials = reader.read_text(PROXY_CREDENTIALS);
    let Some(address) = reader.read_text(PROXY) else {
        for (name, is_set) in [(PROXY_CREDENTIALS, credentials.is_some()), (NO_PROXY, !exceptions.is_empty())] {
            if is_set {
                reader.fault(name, format!("is of no use without {PROXY}"));
            }
        }
        return None;
    };
    // The address may hold a password, so it is not repeated.
    let proxy = EgressProxy::new(&address).map_err(|fault| reader.fault(PROXY, fault.to_string())).ok()?;
    let proxy = proxy.with_exceptions(exceptions);
    let Some(path) = credentials else { return Some(proxy) };
    let with = read_private_file(Path::new(&path)).and_then(|text| {
        let text = text.expose_secret();
        let line = text.strip_suffix('\n').unwrap_or(text);
        proxy.with_credentials(line.strip_suffix('\r').unwrap_or(line)).map_err(|fault| fault.to_string())
    });
    with.map_err(|fault| reader.fault(PROXY_CREDENTIALS, format!("names {path}, which {fault}"))).ok()
}

fn read_exceptions(reader: &mut Reader<'_, impl Vars>) -> Vec<ProxyException> {
    let mut exceptions = Vec::new();
    for entry in reader.read_text(NO_PROXY).iter().flat_map(|list| list.split(',')).map(str::trim) {
        match entry.parse() {
            Ok(exception) => exceptions.push(exception),
            Err(fault) => reader.fault(NO_PROXY, format!("has the entry `{entry}`, which is wrong: it {fault}")),
        }
    }
    exceptions
}
