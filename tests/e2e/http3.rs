//! HTTP/3: a real client, which is another Envoy, speaks it to the gateway, and requests are judged as they are by HTTP/1.1.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use linkgate_tests::gateway::{GatewayPlan, listening, path_from};
use linkgate_tests::request::get;
use linkgate_tests::wait::{wait_until, wait_until_holds};
use linkgate_tests::{Authority, LinkRequestBuilder, Reply, package_of_size, sha256_hex};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::replies::{WholeStack, assert_envelope};

/// What replies name, where nobody listens in these tests.
const NAMED: &str = "8443";
/// The address that the client has, unlike all others here.
const CLIENT: &str = "127.0.0.2";

/// A stack whose gateway takes HTTP/3.
struct Stack {
    whole: WholeStack,
    authority: Authority,
    folder: TempDir,
}

impl Stack {
    async fn start() -> Self {
        Self::planned(GatewayPlan::new()).await
    }

    async fn planned(plan: GatewayPlan) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        authority.renew(folder.path(), &["localhost"]);
        let plan = plan.wire("LINKGATE_GATEWAY_TLS_DIR", folder.path().to_str().unwrap());
        let plan = plan.wire("LINKGATE_GATEWAY_HTTP3_PORT", NAMED);
        Self { whole: WholeStack::planned(plan, &[], &[]).await, authority, folder }
    }

    async fn client(&self) -> Client {
        Client::start(self.whole.gateway().http3_address().await, &self.authority).await
    }

    fn request(&self, version: &str) -> LinkRequestBuilder {
        self.whole.request(self.whole.source().url()).version(version)
    }

    /// By HTTP/1.1 to the same gateway.
    async fn send_by_tcp(&self, request: LinkRequestBuilder) -> Reply {
        let base = format!("https://localhost:{}", self.whole.gateway().address().port());
        request.try_send_by(&self.authority.http_client().build().unwrap(), &base).await.unwrap()
    }
}

/// An Envoy that takes HTTP/1.1 and passes it on by HTTP/3, and by nothing else.
struct Client {
    envoy: Child,
    base: String,
    _dir: TempDir,
}

impl Client {
    async fn start(gateway: SocketAddr, authority: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (config, admin_path) = (dir.path().join("envoy.json"), dir.path().join("admin"));
        std::fs::write(&config, bootstrap(gateway, authority).to_string()).unwrap();
        let mut command = Command::new(path_from("LINKGATE_ENVOY"));
        command.arg("-c").arg(config).arg("--admin-address-path").arg(&admin_path);
        command.args(["--use-dynamic-base-id", "--concurrency", "1"]);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let envoy = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut client = Self { envoy, base: String::new(), _dir: dir };
        let admin = wait_until(async || {
            let address = std::fs::read_to_string(&admin_path).unwrap_or_default();
            let admin = format!("http://{}", address.trim());
            let is_ready = !address.is_empty() && get(&admin, "/ready").await.status == 200;
            if is_ready { Ok(admin) } else { Err("the client did not start".to_owned()) }
        })
        .await;
        client.base = format!("http://{}", listening(&admin, "client").await);
        client
    }

    async fn send(&self, request: LinkRequestBuilder) -> Reply {
        request.send(&self.base).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Fails when it has ended already, which is fine.
        let _ended = self.envoy.kill();
        let _reaped = self.envoy.wait();
    }
}

fn bootstrap(gateway: SocketAddr, authority: &Authority) -> Value {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let socket = |address: &str, port: u16| json!({"socket_address": {"address": address, "port_value": port}});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "gateway", "timeout": "60s"}});
    let manager = json!({
        "@type": format!("{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "client",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{FILTERS}.http.router.v3.Router")},
        }],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    });
    let endpoint = json!({"endpoint": {"address": socket(&gateway.ip().to_string(), gateway.port())}});
    json!({
        "admin": {"address": socket("127.0.0.1", 0)},
        "static_resources": {
            "listeners": [{
                "name": "client",
                "address": socket("127.0.0.1", 0),
                "filter_chains": [{
                    "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
                }],
            }],
            "clusters": [{
                "name": "gateway",
                "type": "STATIC",
                "connect_timeout": "20s",
                "upstream_bind_config": {"source_address": {"address": CLIENT, "port_value": 0}},
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http3_protocol_options": {}},
                }},
                "transport_socket": {"name": "envoy.transport_sockets.quic", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport",
                    "upstream_tls_context": {
                        "sni": "localhost",
                        "common_tls_context": {"validation_context": {"trusted_ca": {"filename": authority.file()}}},
                    },
                }},
                "load_assignment": {"cluster_name": "gateway", "endpoints": [{"lb_endpoints": [endpoint]}]},
            }],
        },
    })
}

#[tokio::test]
async fn uploads_by_http_3_are_judged_as_by_http_1() {
    let stack = Stack::start().await;
    let client = stack.client().await;
    let reply = client.send(stack.request("1")).await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("1")), "{reply:?}");
    let gateway = stack.whole.gateway();
    let line = gateway.access_line_with(reply.header("x-bkapi-request-id").unwrap()).await;
    assert_eq!((&line["client"], &line["gate"]["module"]), (&json!(CLIENT), &json!("default")), "{line}");

    let sent = stack.whole.sent_to_store().await;
    let strange = stack.request("2").field("package_url", "https://elsewhere.example/a.tgz").in_english();
    let nothing = stack.request("2").path("/stag/nothing/").in_english();
    for (request, status) in [(strange, 400), (nothing, 404)] {
        let [by_udp, by_tcp] = [client.send(request.clone()).await, stack.send_by_tcp(request).await];
        assert_eq!((by_udp.status, by_udp.body), (status, by_tcp.body));
    }
    let nobody = crate::replies::stranger(stack.whole.source().url()).in_english();
    assert_eq!(client.send(nobody).await.json()["code_name"], "INVALID_ARGS");
    assert_eq!(stack.whole.sent_to_store().await, sent, "the store saw what was refused");
    assert_eq!(gateway.stat("http.gateway.downstream_rq_http3_total").await, 4);
    assert_eq!(stack.whole.rows().await.len(), 1);
}

/// Who restricts addresses must not be got round by UDP.
#[tokio::test]
async fn the_address_that_counts_is_the_clients() {
    let stack = Stack::start().await;
    let client = stack.client().await;
    let mut policy = stack.whole.policy().clone();
    policy["restrictions"] = json!({"client_ips": {"deny": [CLIENT]}});
    stack.whole.gateway().enforce(&policy).await;
    let claims = |request: LinkRequestBuilder| request.header("x-forwarded-for", "127.0.0.1").in_english();
    let refused = client.send(claims(stack.request("1"))).await;
    assert_eq!((refused.status, &refused.json()["code_name"]), (403, &json!("IP_NOT_ALLOWED")), "{refused:?}");
    assert_eq!(stack.send_by_tcp(claims(stack.request("1"))).await.status, 200);
}

#[tokio::test]
async fn files_pass_with_and_without_their_length_and_too_large_ones_are_refused() {
    let stack = Stack::start().await;
    let client = stack.client().await;
    let package = package_of_size(3 << 20);
    let file = |version: &str| {
        let request = stack.whole.request("").put_file("app.tgz", "", package.clone());
        let path = format!("/stag{}upload/app.tgz?version={version}", linkgate_tests::file::PACKAGES);
        request.path(path)
    };
    for (version, request) in [("1", file("1")), ("2", file("2").chunked())] {
        let reply = client.send(request).await;
        assert_eq!((reply.status, &reply.json()["version"]), (200, &json!(version)), "{reply:?}");
        assert_eq!(reply.json()["sha256_signature"], sha256_hex(&package));
    }
    // The body of a link is bounded by the policy, whether its length is told or not.
    let large = stack.request("3").field("more", "x".repeat(70_000)).in_english();
    for request in [large.clone(), large.chunked()] {
        assert_envelope(
            &client.send(request).await,
            413,
            1_641_301,
            "BODY_SIZE_LIMIT_EXCEED",
            "Request body size too large.",
        );
    }
    assert_eq!(stack.whole.rows().await.len(), 2);
}

#[tokio::test]
async fn replies_name_http_3_where_it_is_and_nowhere_else() {
    let stack = Stack::start().await;
    let reply = stack.send_by_tcp(stack.request("1")).await;
    assert_eq!((reply.status, reply.header("alt-svc")), (200, Some("h3=\":8443\"; ma=86400")), "{reply:?}");
    let without = WholeStack::new().await;
    let reply = without.send(without.request(without.source().url())).await;
    assert_eq!((reply.status, reply.header("alt-svc")), (200, None), "{reply:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let stack = Stack::start().await;
    assert_eq!(stack.client().await.send(stack.request("1")).await.status, 200);
    let other = Authority::new();
    let client = Client::start(stack.whole.gateway().http3_address().await, &other).await;
    assert_eq!(client.send(stack.request("2")).await.status, 503, "nobody vouches for the gateway yet");
    other.renew(stack.folder.path(), &["localhost"]);
    wait_until_holds("the new certificate", async || client.send(stack.request("2")).await.status == 200).await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let stack = Stack::planned(GatewayPlan::new().wire("LINKGATE_GATEWAY_HTTP3_MAX_CONNECTIONS", "1")).await;
    let (first, second) = (stack.client().await, stack.client().await);
    assert_eq!(first.send(stack.request("1")).await.status, 200);
    assert_eq!(second.send(stack.request("2")).await.status, 503);
    drop(first);
    wait_until_holds("the place of the first", async || second.send(stack.request("2")).await.status == 200).await;
}
