//! The services that know apps and users: which a policy names, what they are asked, and what they answered.
//!
//! Knows nothing of requests and who waits for an answer, but by number.

pub(crate) mod answer;
pub(crate) mod cache;
pub(crate) mod question;
pub(crate) mod singleflight;

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceKind {
    /// Apps, their secrets, access tokens.
    Bkauth,
    /// `bk_token`.
    Login,
    /// `bk_ticket`.
    Ticket,
}

impl ServiceKind {
    /// Its name in metrics and reasons.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bkauth => "bkauth",
            Self::Login => "login",
            Self::Ticket => "ticket",
        }
    }
}

/// A service behind a cluster of the proxy.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) cluster: String,
    pub(crate) authority: String,
}

/// The login service.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) service: Service,
    pub(crate) multi_tenant: bool,
}

/// The ticket service.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) service: Service,
    pub(crate) path: String,
}

/// Every service that a policy names.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) bkauth: Option<Service>,
    pub(crate) login: Option<Login>,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) timeout_ms: u32,
}

impl Services {
    /// Whether apps and users belong to tenants.
    pub(crate) fn have_tenants(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.multi_tenant)
    }
}
