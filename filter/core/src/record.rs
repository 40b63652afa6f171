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
    /// The stage of the route.
    pub stage: String,
    /// `OK`, or the name of the refusal's code.
    pub decision: &'static str,
    /// The rule that decided: the grant that allowed it, or what refused it.
    pub rule: String,
    /// How it is known who calls: listed, cached, fresh or stale.
    pub identity: &'static str,
    /// Rules on trial that would have refused it, by comma.
    pub reported: String,
}

impl Record {
    /// Every field that says something, by the name of docs/LOGGING.md.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("app", self.app.as_str()),
            ("user", &self.user),
            ("application", &self.application),
            ("module", &self.module),
            ("stage", &self.stage),
            ("decision", self.decision),
            ("rule", &self.rule),
            ("identity", self.identity),
            ("reported", &self.reported),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty())
    }

    pub(crate) fn report(&mut self, rule: &str) {
        if !self.reported.is_empty() {
            self.reported.push(',');
        }
        self.reported.push_str(rule);
    }
}
