//! What is compared: the shipped `envoy.yaml`, with another filter in the place of the gate, or none.

use std::net::SocketAddr;
use std::sync::Arc;

use linkgate_contract::headers;
use linkgate_gate::Record;
use linkgate_tests::gateway::{APP, Gateway, GatewayPlan, USER, path_from};
use serde_json::{Value, json};

use crate::judge;
use crate::load::{Ask, Until, press};
use crate::services::{Authorizer, Upstream};

/// Where links point to.
pub const HOST: &str = "example.com";

/// An Envoy and what it is asked.
pub struct Contender {
    pub name: &'static str,
    pub gateway: Gateway,
    pub service: Option<Authorizer>,
    pub accepted: Arc<[Ask]>,
    /// Nothing is refused where there is no filter.
    pub refused: Option<Arc<[Ask]>>,
    /// A header that the upstream sees if the filter did its work.
    sign: &'static str,
    /// Whether the access log learns who called and how it was decided.
    tells: bool,
}

impl Contender {
    /// All of them, the one without a filter first.
    pub async fn all(upstream: SocketAddr) -> Vec<Self> {
        let plan = shipped();
        plan.deploy(&plan.credentials().policy(&[HOST.to_owned()]));
        let mut gate = Self::start("gate", plan, upstream, headers::JWT).await;
        gate.tells = true;

        let mut bare = Self::start("no filter", in_the_gates_place(shipped(), None), upstream, "host").await;
        bare.refused = None;

        let plan = shipped();
        let lua = lua_filter(&plan.credentials().secret);
        let lua = Self::start("Lua", in_the_gates_place(plan, Some(&lua)), upstream, SET[0]).await;

        let plan = shipped();
        let service = judge::start(&plan);
        let authz = Self::asking("ext_authz", plan, service, Asked::All, upstream).await;

        let plan = shipped();
        let service = judge::start(&plan);
        let silent = Self::asking("silent", plan, service, Asked::Token, upstream).await;

        let plan = shipped();
        let service = Authorizer::start(&plan.credentials().secret);
        let string = Self::asking("a string", plan, service, Asked::String, upstream).await;
        vec![bare, gate, lua, authz, silent, string]
    }

    async fn asking(
        name: &'static str,
        plan: GatewayPlan,
        service: Authorizer,
        what: Asked,
        upstream: SocketAddr,
    ) -> Self {
        let plan = in_the_gates_place(plan, Some(&authz_filter(service.address, what)));
        let mut plan =
            plan.editing("\n  clusters:\n", &format!("\n  clusters:\n    - {}\n", authz_cluster(service.address)));
        if what.tells() {
            let (the_gates, the_services) =
                ("%FILTER_STATE(wasm.linkgate:PLAIN)%", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%");
            plan = plan.editing(the_gates, the_services);
        }
        let mut authz = Self::start(name, plan, upstream, what.sets()[0]).await;
        authz.service = Some(service);
        authz.tells = what.tells();
        authz
    }

    async fn start(name: &'static str, plan: GatewayPlan, upstream: SocketAddr, sign: &'static str) -> Self {
        let mut credentials = plan.credentials().clone();
        let accepted = [Ask::upload(&credentials.header(), 200)].into();
        credentials.secret = "0".repeat(credentials.secret.len());
        let refused = Some([Ask::upload(&credentials.header(), 400)].into());
        let gateway = plan.start(upstream).await;
        Self { name, gateway, service: None, accepted, refused, sign, tells: false }
    }

    /// Checks that requests are changed and refused as they should be, before anything is measured.
    pub async fn prove(&self, upstream: &Upstream) {
        let before = upstream.count();
        press(self.gateway.address(), &self.accepted, Until::Sent(1)).await;
        assert_eq!(upstream.count(), before + 1, "{}: the upstream was not asked", self.name);
        assert!(upstream.saw(self.sign), "{}: the upstream did not see {}", self.name, self.sign);
        if self.tells {
            let line = self.gateway.access_line_with("\"status\":200").await;
            assert_eq!(line["gate"]["app"], APP, "{}: the access log does not tell who called", self.name);
        }
        let Some(refused) = &self.refused else { return };
        press(self.gateway.address(), refused, Until::Sent(1)).await;
        assert_eq!(upstream.count(), before + 1, "{}: the upstream saw what was refused", self.name);
    }
}

/// The headers that the others set: as many as the gate does, which are the path and the token.
const SET: [&str; 2] = ["x-bkapi-app-code", "x-bkapi-username"];

fn envoy_yaml() -> String {
    std::fs::read_to_string(path_from("LINKGATE_ROOT").join("envoy.yaml")).unwrap()
}

/// With the shipped `envoy.yaml`, except that closed connections are let go at once.
///
/// Whoever is refused before the body's end is cut off, and Envoy keeps the connection until it has waited that long. On
/// a fast machine that load alone would reach the limit of connections.
pub fn shipped() -> GatewayPlan {
    const KEY: &str = "delayed_close_timeout:";
    let yaml = envoy_yaml();
    let line = yaml.lines().find(|line| line.contains(KEY)).expect("envoy.yaml says how long it waits");
    let (indent, _) = line.split_once(KEY).unwrap();
    GatewayPlan::new().editing(line, &format!("{indent}{KEY} 0.1s")).workers(1)
}

/// Another filter where `envoy.yaml` has the gate.
fn in_the_gates_place(plan: GatewayPlan, filter: Option<&Value>) -> GatewayPlan {
    let yaml = envoy_yaml();
    let from = yaml.find("                  - name: linkgate\n").expect("envoy.yaml has the gate");
    let to = yaml.find("                  - name: envoy.filters.http.router\n").expect("and the router behind it");
    // JSON is YAML.
    let filter = filter.map(|filter| format!("                  - {filter}\n")).unwrap_or_default();
    plan.editing(&yaml[from..to], &filter)
}

/// The cheapest thing that could pass for the gate: strings are matched, nothing is parsed, hashed or signed, and the
/// body is not looked at.
fn lua_filter(secret: &str) -> Value {
    let [app, user] = SET;
    let code = format!(
        r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  local given = headers:get("x-bkapi-authorization") or ""
  local code = given:match('"bk_app_code"%s*:%s*"([^"]*)"')
  local secret = given:match('"bk_app_secret"%s*:%s*"([^"]*)"')
  if code ~= "{APP}" or secret ~= "{secret}" then
    handle:respond({{[":status"] = "400", ["content-type"] = "application/json"}}, '{{"code":1640001}}')
    return
  end
  headers:replace("{app}", code)
  headers:replace("{user}", "{USER}")
end
"#
    );
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": code},
        },
    })
}

/// What a service is asked for.
#[derive(Clone, Copy)]
enum Asked {
    /// Whether one header holds one string: the least that anybody could ask.
    String,
    /// The same judgement as the gate's: it gets the body too, and signs a token.
    Token,
    /// All that the gate does: it tells the access log who called, too.
    All,
}

impl Asked {
    fn sees(self) -> &'static [&'static str] {
        match self {
            Self::String => &["x-bkapi-authorization"],
            Self::Token | Self::All => &["x-bkapi-authorization", "x-request-id", "content-type"],
        }
    }

    fn sets(self) -> &'static [&'static str] {
        match self {
            Self::String => &SET,
            Self::Token | Self::All => &[headers::JWT],
        }
    }

    fn judges(self) -> bool {
        !matches!(self, Self::String)
    }

    fn tells(self) -> bool {
        matches!(self, Self::All)
    }
}

fn authz_filter(service: SocketAddr, what: Asked) -> Value {
    let exactly = |names: &[&str]| names.iter().map(|name| json!({"exact": name})).collect::<Vec<_>>();
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "allowed_headers": {"patterns": exactly(what.sees())},
        "http_service": {
            "server_uri": {"uri": format!("http://{service}"), "cluster": "authorizer", "timeout": "5s"},
            "authorization_response": {"allowed_upstream_headers": {"patterns": exactly(what.sets())}},
        },
    });
    if what.judges() {
        config["with_request_body"] = json!({"max_request_bytes": 65_536});
    }
    if what.tells() {
        config["http_service"]["authorization_response"]["dynamic_metadata_from_headers"] =
            json!({"patterns": exactly(&Record::default().fields().map(|(name, _)| name))});
    }
    json!({"name": "envoy.filters.http.ext_authz", "typed_config": config})
}

fn authz_cluster(service: SocketAddr) -> Value {
    let socket = json!({"address": service.ip().to_string(), "port_value": service.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    json!({
        "name": "authorizer",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "authorizer", "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}
