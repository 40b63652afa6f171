//! Who is known by the policy's own list.

use std::collections::BTreeMap;

use crate::secret::Digest;

/// What a directory knows of an app's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAnswer {
    /// The secret is the app's.
    Verified,
    /// The app is known, the secret is another.
    WrongSecret,
    /// No such app.
    NotFound,
}

/// Which kind of login proof is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// `bk_token`.
    Token,
    /// `bk_ticket`.
    Ticket,
}

/// The clients (apps that may call) and users that the policy lists.
#[derive(Debug, Default)]
pub struct Listed {
    clients: BTreeMap<String, Vec<Digest>>,
    tokens: Logins,
    tickets: Logins,
}

#[derive(Debug, Default)]
struct Logins(BTreeMap<[u8; 8], Vec<(Digest, String)>>);

impl Logins {
    fn find(&self, proof: &Digest) -> Option<&str> {
        let candidates = self.0.get(&proof.slot())?;
        candidates.iter().find(|(known, _)| known.matches(proof)).map(|(_, user)| user.as_str())
    }
}

impl Listed {
    /// Lists a client; `false` if it is listed already.
    pub fn add_client(&mut self, app_code: &str, secrets: Vec<Digest>) -> bool {
        self.clients.insert(app_code.to_owned(), secrets).is_none()
    }

    /// Lists a user's login proof; `false` if somebody has the same one.
    pub fn add_login(&mut self, kind: LoginKind, proof: Digest, username: &str) -> bool {
        let logins = match kind {
            LoginKind::Token => &mut self.tokens,
            LoginKind::Ticket => &mut self.tickets,
        };
        if logins.find(&proof).is_some() {
            return false;
        }
        logins.0.entry(proof.slot()).or_default().push((proof, username.to_owned()));
        true
    }
}

impl Listed {
    /// Whether the policy has a word on this app.
    pub fn has_app(&self, app_code: &str) -> bool {
        self.clients.contains_key(app_code)
    }

    /// Whether the secret is the app's.
    pub fn verify_app(&self, app_code: &str, secret: &str) -> AppAnswer {
        let Some(secrets) = self.clients.get(app_code) else { return AppAnswer::NotFound };
        let given = Digest::of(secret);
        // Every one is compared, so that the time does not tell which of several secrets it was.
        let matches = secrets.iter().fold(false, |found, known| known.matches(&given) | found);
        if matches { AppAnswer::Verified } else { AppAnswer::WrongSecret }
    }

    /// Whose login this is; `None`: nobody's.
    pub fn verify_login(&self, kind: LoginKind, proof: &str) -> Option<&str> {
        let proof = Digest::of(proof);
        match kind {
            LoginKind::Token => self.tokens.find(&proof),
            LoginKind::Ticket => self.tickets.find(&proof),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Listed {
        let mut listed = Listed::default();
        assert!(listed.add_client("app", vec![Digest::of("old"), Digest::of("new")]));
        assert!(listed.add_login(LoginKind::Token, Digest::of("t"), "admin"));
        assert!(listed.add_login(LoginKind::Ticket, Digest::of("k"), "admin"));
        listed
    }

    #[test]
    fn any_of_an_apps_secrets_is_good_and_no_other() {
        let listed = listed();
        assert_eq!(listed.verify_app("app", "old"), AppAnswer::Verified);
        assert_eq!(listed.verify_app("app", "new"), AppAnswer::Verified);
        assert_eq!(listed.verify_app("app", "other"), AppAnswer::WrongSecret);
        assert_eq!(listed.verify_app("App", "new"), AppAnswer::NotFound);
    }

    #[test]
    fn a_token_is_no_ticket() {
        let listed = listed();
        assert_eq!(listed.verify_login(LoginKind::Token, "t"), Some("admin"));
        assert_eq!(listed.verify_login(LoginKind::Ticket, "t"), None);
        assert_eq!(listed.verify_login(LoginKind::Ticket, "k"), Some("admin"));
        assert_eq!(listed.verify_login(LoginKind::Token, ""), None);
    }

    #[test]
    fn a_login_belongs_to_one_user() {
        let mut listed = listed();
        assert!(!listed.add_login(LoginKind::Token, Digest::of("t"), "other"));
        assert!(!listed.add_client("app", vec![]));
    }
}
