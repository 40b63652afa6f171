//! What the access log says of a request.

/// Who asked for what, and how it was decided; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The calling app; of one that was not verified only a well-formed code.
    pub app: String,
    /// The verified user.
    pub user: String,
    /// The application that the package is for.
    pub application: String,
    /// Its module.
    pub module: String,
    /// The operation id of the endpoint.
    pub operation: &'static str,
    /// The stage of the route.
    pub stage: String,
    /// `OK`, or the name of the refusal's code.
    pub decision: &'static str,
    /// The rule that decided: the grant that allowed it, or what refused it.
    pub rule: String,
    /// How it is known who calls: listed, cached, fresh or stale.
    pub identity: &'static str,
    /// Report-only rules that would have denied it, by comma.
    pub reported: String,
}

impl Record {
    /// What every property's name begins with; what follows are the names of docs/LOGGING.md.
    pub const PREFIX: &'static str = "linkgate.";

    /// Every field, by the property under which the proxy's access log looks for it. (Whole names: putting them together
    /// for each request would cost more than saying them.)
    #[must_use]
    pub fn properties(&self) -> [(&'static str, &str); 10] {
        [
            ("linkgate.app", &self.app),
            ("linkgate.user", &self.user),
            ("linkgate.application", &self.application),
            ("linkgate.module", &self.module),
            ("linkgate.operation", self.operation),
            ("linkgate.stage", &self.stage),
            ("linkgate.decision", self.decision),
            ("linkgate.rule", &self.rule),
            ("linkgate.identity", self.identity),
            ("linkgate.reported", &self.reported),
        ]
    }

    /// The properties that say something: what is not known is not told.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.properties().into_iter().filter(|(_, value)| !value.is_empty())
    }

    pub(crate) fn add_reported(&mut self, rule: &str) {
        if !self.reported.is_empty() {
            self.reported.push(',');
        }
        self.reported.push_str(rule);
    }
}
