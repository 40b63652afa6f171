//! The load balancer: an Envoy without a filter of ours, in front of the gateways, and between them and the stores.
//!
//! Promises: whoever does not answer `/readyz` gets nothing, and what cannot be connected to is passed over. Callers' addresses
//! are passed on, and what a caller says of its address is not believed. Between gateways and stores it knows no HTTP.

use serde_json::{Value, json};

use crate::up::demo::GatewayPorts;

/// Who stands where.
pub struct Balancer {
    /// Where callers send requests.
    pub callers: u16,
    /// Where gateways do.
    pub inside: u16,
    /// The gateways.
    pub gateways: Vec<GatewayPorts>,
    /// The stores.
    pub stores: Vec<u16>,
}

impl Balancer {
    /// Envoy's configuration.
    pub fn config(&self) -> Value {
        let gateways = self.gateways.iter().map(|ports| endpoint(ports.gateway, ports.status)).collect();
        let stores = self.stores.iter().map(|port| endpoint(*port, *port)).collect();
        json!({
            "node": {"id": "balancer", "cluster": "balancer"},
            "static_resources": {
                "listeners": [
                    listener("callers", self.callers, &http_filter()),
                    listener("inside", self.inside, &tcp_filter()),
                ],
                "clusters": [cluster("gateways", gateways), cluster("stores", stores)],
            },
        })
    }
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn listener(name: &str, port: u16, filter: &Value) -> Value {
    json!({"name": name, "address": address(port), "filter_chains": [{"filters": [filter]}]})
}

fn endpoint(port: u16, status: u16) -> Value {
    json!({"endpoint": {"address": address(port), "health_check_config": {"port_value": status}}})
}

fn cluster(name: &str, endpoints: Vec<Value>) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        // So that who is tried again is not the same.
        "lb_policy": "ROUND_ROBIN",
        // Rather an error than somebody who said that it takes nothing.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [{
            "timeout": "1s", "interval": "1s", "no_traffic_interval": "1s",
            "unhealthy_threshold": 2, "healthy_threshold": 1,
            "http_health_check": {"path": "/readyz"},
        }],
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

/// Nothing is tried again that may have reached a gateway.
fn http_filter() -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "callers",
            "use_remote_address": true,
            // The gateway judges paths, and names requests.
            "normalize_path": false,
            "generate_request_id": false,
            "server_header_transformation": "PASS_THROUGH",
            "proxy_100_continue": true,
            "stream_idle_timeout": "660s",
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": true,
                },
            }],
            "route_config": {"virtual_hosts": [{
                "name": "gateways",
                "domains": ["*"],
                "routes": [{
                    "match": {"prefix": "/"},
                    "route": {
                        "cluster": "gateways",
                        // The gateway has its own for each kind of request.
                        "timeout": "0s",
                        "retry_policy": {
                            "retry_on": "connect-failure,refused-stream",
                            "num_retries": 2,
                            "retry_host_predicate": [{
                                "name": "envoy.retry_host_predicates.previous_hosts",
                                "typed_config": {
                                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                                },
                            }],
                            "host_selection_retry_max_attempts": 10,
                        },
                    },
                }],
            }]},
        },
    })
}

fn tcp_filter() -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "inside",
            "cluster": "stores",
            "max_connect_attempts": 3,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_asked_for_its_readiness_where_it_tells() {
        let gateways = vec![GatewayPorts { gateway: 1, admin: 2, status: 3, upstream: 9 }];
        let config = Balancer { callers: 8, inside: 9, gateways, stores: vec![4, 5] }.config();
        let asked = |cluster: usize, number: usize| {
            let endpoints = &config["static_resources"]["clusters"][cluster]["load_assignment"]["endpoints"];
            let endpoint = &endpoints[0]["lb_endpoints"][number]["endpoint"];
            let port = |value: &Value| value["port_value"].as_u64().unwrap();
            (port(&endpoint["address"]["socket_address"]), port(&endpoint["health_check_config"]))
        };
        assert_eq!([asked(0, 0), asked(1, 0), asked(1, 1)], [(1, 3), (4, 4), (5, 5)]);
    }
}
