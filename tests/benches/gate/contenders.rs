//! What is compared: the shipped `envoy.yaml`, with another filter in the place of the gate, or none.

use std::net::SocketAddr;

use linkgate_contract::headers;
use linkgate_gate::Record;
use linkgate_tests::gateway::{APP, Gateway, GatewayPlan, USER, path_from};
use linkgate_tests::{Certificates, Channel};
use serde_json::{Value, json};

use crate::judge;
use crate::load::{Ask, Load, Until, press};
use crate::services::{Authorizer, Upstream};
use crate::wire::Entrance;

/// Where links point to.
pub const HOST: &str = "example.com";

/// What stands around Envoy: certificates, and upstreams in the place of the store.
pub struct Ground {
    certificates: Certificates,
    plain: Upstream,
    under_tls: Upstream,
}

impl Ground {
    pub async fn prepare() -> Self {
        let certificates = Certificates::new();
        let plain = Upstream::start(None).await;
        let under_tls = Upstream::start(certificates.acceptor(Channel::Mutual)).await;
        Self { certificates, plain, under_tls }
    }

    fn upstream(&self, channel: Channel) -> &Upstream {
        if channel == Channel::Mutual { &self.under_tls } else { &self.plain }
    }
}

/// Who decides in Envoy, and its name in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    None,
    Gate,
    Lua,
    /// A service that is asked for so much.
    Authz(Asked),
}

impl Filter {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Gate => "gate",
            Self::Lua => "Lua",
            Self::Authz(Asked::All) => "ext_authz",
            Self::Authz(Asked::Token) => "silent",
            Self::Authz(Asked::String) => "a string",
        }
    }

    /// A header that the upstream sees if the filter did its work.
    fn sign(self) -> &'static str {
        match self {
            Self::None => "host",
            Self::Gate => headers::JWT,
            Self::Lua => SET[0],
            Self::Authz(what) => what.sets()[0],
        }
    }

    /// Whether the access log learns who called and how it was decided.
    fn tells(self) -> bool {
        matches!(self, Self::Gate | Self::Authz(Asked::All))
    }
}

/// All that are compared: in clear, what a caller's TLS costs each kind, and the gate with TLS on both sides.
const COMPARED: [(Channel, &[Filter]); 3] = [
    (
        Channel::Plain,
        &[
            Filter::None,
            Filter::Gate,
            Filter::Lua,
            Filter::Authz(Asked::All),
            Filter::Authz(Asked::Token),
            Filter::Authz(Asked::String),
        ],
    ),
    (Channel::Tls, &[Filter::None, Filter::Gate, Filter::Lua, Filter::Authz(Asked::All)]),
    (Channel::Mutual, &[Filter::None, Filter::Gate]),
];

/// An Envoy and what it is asked.
pub struct Contender {
    pub filter: Filter,
    pub channel: Channel,
    pub gateway: Gateway,
    pub entrance: Entrance,
    pub service: Option<Authorizer>,
    accepted: Load,
    refused: Load,
}

impl Contender {
    /// All of them, the one without a filter and in clear first.
    pub async fn all(ground: &Ground) -> Vec<Self> {
        let mut all = Vec::new();
        for (channel, filters) in COMPARED {
            for filter in filters {
                all.push(Self::start(ground, channel, *filter).await);
            }
        }
        all
    }

    async fn start(ground: &Ground, channel: Channel, filter: Filter) -> Self {
        let plan = ground.certificates.wire(shipped(), channel);
        let mut credentials = plan.credentials().clone();
        let (plan, service) = with(plan, filter);
        let gateway = plan.start(ground.upstream(channel).address).await;
        let accepted = Load::of([Ask::upload(&credentials.header(), 200)]);
        credentials.secret = "0".repeat(credentials.secret.len());
        let refused = Load::of([Ask::upload(&credentials.header(), 400)]);
        let entrance = Entrance { address: gateway.address(), tls: ground.certificates.connector(channel) };
        Self { filter, channel, gateway, entrance, service, accepted, refused }
    }

    /// What it is asked, by the case's name. Nothing is refused where there is no filter, what is refused never comes to the
    /// upstream, and new connections cost all filters the same.
    pub fn cases(&self) -> Vec<(&'static str, Load)> {
        let mut cases = vec![("accepted", self.accepted.clone())];
        let (is_gate, is_plain) = (self.filter == Filter::Gate, self.channel == Channel::Plain);
        if self.channel == Channel::Mutual || self.filter == Filter::None {
            return cases;
        }
        if is_gate || is_plain {
            cases.push(("refused", self.refused.clone()));
        }
        if is_gate {
            cases.push(("connecting", self.accepted.connecting()));
        }
        cases
    }

    /// Checks that requests are changed and refused as they should be, before anything is measured.
    pub async fn prove(&self, ground: &Ground) {
        let (upstream, name) = (ground.upstream(self.channel), self.filter.name());
        let before = upstream.count();
        press(&self.entrance, &self.accepted, Until::Sent(1)).await;
        assert_eq!(upstream.count(), before + 1, "{name}: the upstream was not asked");
        let sign = self.filter.sign();
        assert!(upstream.saw(sign), "{name}: the upstream did not see {sign}");
        if self.filter.tells() {
            let line = self.gateway.access_line_with("\"status\":200").await;
            assert_eq!(line["gate"]["app"], APP, "{name}: the access log does not tell who called");
        }
        if self.filter != Filter::None {
            press(&self.entrance, &self.refused, Until::Sent(1)).await;
            assert_eq!(upstream.count(), before + 1, "{name}: the upstream saw what was refused");
        }
    }
}

/// The shipped wiring with that filter, and the service that it asks.
fn with(plan: GatewayPlan, filter: Filter) -> (GatewayPlan, Option<Authorizer>) {
    match filter {
        Filter::None => (in_the_gates_place(plan, None), None),
        Filter::Gate => {
            plan.deploy(&plan.credentials().policy(&[HOST.to_owned()]));
            (plan, None)
        }
        Filter::Lua => {
            let lua = lua_filter(&plan.credentials().secret);
            (in_the_gates_place(plan, Some(&lua)), None)
        }
        Filter::Authz(what) => {
            let service = match what {
                Asked::String => Authorizer::start(&plan.credentials().secret),
                Asked::Token | Asked::All => judge::start(&plan),
            };
            (asking(plan, service.address, what), Some(service))
        }
    }
}

fn asking(plan: GatewayPlan, service: SocketAddr, what: Asked) -> GatewayPlan {
    let plan = in_the_gates_place(plan, Some(&authz_filter(service, what)));
    let plan = plan.editing("\n  clusters:\n", &format!("\n  clusters:\n    - {}\n", authz_cluster(service)));
    if !what.tells() {
        return plan;
    }
    let (the_gates, the_services) =
        ("%FILTER_STATE(wasm.linkgate:PLAIN)%", "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%");
    plan.editing(the_gates, the_services)
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Asked {
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
