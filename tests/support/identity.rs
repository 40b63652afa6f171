//! A stand-in for BlueKing's identity services: bkauth, the login service and the one for tickets.
//!
//! It speaks their forms over sockets of its own, one for each service, and is well or ill as a test asks. Promises:
//! secrets are random for each instance; a request is on record before it is answered; a service that is down keeps its
//! port, refuses connections, and comes back on that port. Refuses what the services refuse: a wrong secret of the
//! gateway, a wrong bearer, unknown apps, tokens and tickets. Speaks neither TLS nor chunked requests.

mod answers;
mod port;
mod registry;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::wait::Record;
use port::ServicePort;
use registry::Registry;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Apps and their secrets, access tokens.
    Bkauth,
    /// Users by `bk_token`.
    Login,
    /// Users by `bk_ticket`.
    Ticket,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bkauth, Self::Login, Self::Ticket];

    /// The name of its cluster in `envoy.yaml`.
    #[must_use]
    pub fn cluster(self) -> &'static str {
        match self {
            Self::Bkauth => "bkauth",
            Self::Login => "bklogin",
            Self::Ticket => "bkticket",
        }
    }
}

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceBehaviour {
    /// Answers as it should.
    Well,
    /// Does not listen: connections are refused, open ones are closed.
    Down,
    /// Answers as it should, this much later.
    Slow(Duration),
    /// Answers 200 with a page for people.
    Html,
    /// Answers as it should, once it behaves otherwise.
    Held,
    /// Answers with half of the JSON, and says so in `Content-Length`.
    Truncated,
    /// Answers with half of the JSON, says that all of it comes, and closes.
    CutShort,
    /// Answers as it should, with [`HUGE`] bytes of padding in front.
    Huge,
    /// Answers with this status and JSON that says as little.
    Status(u16),
    /// Refuses, and quotes what it was asked.
    Echo,
    /// Reads the request and closes.
    Hangup,
}

/// How much padding [`ServiceBehaviour::Huge`] has, in bytes.
pub const HUGE: usize = 10_000_000;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `POST /api/v1/apps/{code}/access-keys/verify`
    VerifySecret,
    /// `GET /api/v1/apps/{code}/access-keys`
    ListSecrets,
    /// `GET /api/v1/apps/{code}`, where there are tenants
    AppTenant,
    /// `POST /api/v1/auth/access-tokens/verify`
    VerifyAccessToken,
    /// `GET /login/api/v2/is_login/`
    IsLogin,
    /// `GET /login/api/v3/apigw/bk-tokens/verify/`, where there are tenants
    VerifyToken,
    /// `GET` of any path of the ticket service
    VerifyTicket,
    /// Anything else; answered 404.
    Unknown,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which service was asked.
    pub service: Service,
    /// What was asked.
    pub question: Question,
    /// The method.
    pub method: String,
    /// The path, as sent.
    pub path: String,
    /// The query without its `?`, as sent; empty if there is none.
    pub query: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// A header's value, the first one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value of the query, decoded.
    #[must_use]
    pub fn queried(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The stand-in. Stops when dropped.
pub struct Identity {
    shared: Arc<Shared>,
    ports: [ServicePort; 3],
}

/// What all connections use.
struct Shared {
    registry: Mutex<Registry>,
    asked: Record<Asked>,
}

impl Identity {
    /// Starts all three services; they know nobody yet.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared { registry: Mutex::new(Registry::new()), asked: Record::default() });
        let open = |service| ServicePort::open(service, Arc::clone(&shared));
        let ports = [open(Service::Bkauth).await, open(Service::Login).await, open(Service::Ticket).await];
        Self { shared, ports }
    }

    /// Where a service listens, or would if it were not down.
    #[must_use]
    pub fn address(&self, service: Service) -> SocketAddr {
        self.ports[service as usize].address()
    }

    /// `http://host:port` of a service.
    #[must_use]
    pub fn base(&self, service: Service) -> String {
        format!("http://{}", self.address(service))
    }

    /// Changes how a service is. Requests under way end as they began, unless it goes down or they were held. When this
    /// returns, it is so.
    pub async fn set(&self, service: Service, behaviour: ServiceBehaviour) {
        self.ports[service as usize].set(behaviour).await;
    }

    /// The same for all services.
    pub async fn set_all(&self, behaviour: ServiceBehaviour) {
        for service in Service::ALL {
            self.set(service, behaviour).await;
        }
    }

    /// The variables of Envoy's process that let the gate ask: bkauth's credentials and the login service's bearer.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let registry = self.registry();
        [
            ("LINKGATE_BKAUTH_APP_CODE", registry.gateway_code.clone()),
            ("LINKGATE_BKAUTH_APP_SECRET", registry.gateway_secret.clone()),
            ("LINKGATE_LOGIN_BEARER_TOKEN", registry.bearer.clone()),
        ]
    }

    /// All requests so far, in the order of their arrival.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.all()
    }

    /// How often this was asked.
    #[must_use]
    pub fn count(&self, question: Question) -> usize {
        self.shared.asked.count(|asked| asked.question == question)
    }

    /// Begins a new record.
    pub fn forget(&self) {
        self.shared.asked.clear();
    }

    /// Waits until this was asked so often.
    pub async fn wait_for(&self, question: Question, count: usize) {
        let is_enough = |seen: &[Asked]| seen.iter().filter(|asked| asked.question == question).count() >= count;
        self.shared.asked.wait_for("the questions", is_enough).await;
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.shared.registry.lock().unwrap()
    }
}
