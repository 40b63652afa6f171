//! Who is known by the policy's own list.

use std::collections::BTreeMap;

use crate::secret::Digest;

/// What the directory knows of an app's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAnswer {
    /// The secret is the app's.
    Verified,
    /// The app is known, the secret is another.
    WrongSecret,
    /// No such app.
    NotFound,
}

/// Which kind of login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginKind {
    /// `bk_token`.
    Token,
    /// `bk_ticket`.
    Ticket,
}

/// The clients (apps that may call) and users that the policy lists.
#[derive(Debug, Default)]
pub struct Directory {
    clients: BTreeMap<String, Vec<Digest>>,
    tokens: Logins,
    tickets: Logins,
}

#[derive(Debug, Default)]
struct Logins(BTreeMap<[u8; 8], Vec<(Digest, String)>>);

impl Logins {
    fn find_user(&self, digest: &Digest) -> Option<&str> {
        let candidates = self.0.get(&digest.slot())?;
        candidates.iter().find(|(known, _)| known.matches(digest)).map(|(_, user)| user.as_str())
    }
}

impl Directory {
    /// Lists a client; `false` if it is listed already.
    pub fn add_client(&mut self, app_code: &str, secrets: Vec<Digest>) -> bool {
        self.clients.insert(app_code.to_owned(), secrets).is_none()
    }

    /// Lists a login of a user; `false` if somebody has the same one.
    pub fn add_login(&mut self, kind: LoginKind, digest: Digest, username: &str) -> bool {
        let logins = match kind {
            LoginKind::Token => &mut self.tokens,
            LoginKind::Ticket => &mut self.tickets,
        };
        if logins.find_user(&digest).is_some() {
            return false;
        }
        logins.0.entry(digest.slot()).or_default().push((digest, username.to_owned()));
        true
    }
}

impl Directory {
    /// Whether the policy has a word on this app.
    pub fn has_app(&self, app_code: &str) -> bool {
        self.clients.contains_key(app_code)
    }

    /// Whether the secret is the app's.
    pub fn verify_app(&self, app_code: &str, secret: &str) -> AppAnswer {
        let Some(secrets) = self.clients.get(app_code) else { return AppAnswer::NotFound };
        let given = Digest::of_secret(secret);
        // Every one is compared, so that the time does not tell which of several secrets it was.
        let matches = secrets.iter().fold(false, |found, known| known.matches(&given) | found);
        if matches { AppAnswer::Verified } else { AppAnswer::WrongSecret }
    }

    /// Whose login this is; `None`: nobody's.
    pub fn verify_login(&self, kind: LoginKind, secret: &str) -> Option<&str> {
        let digest = Digest::of_secret(secret);
        match kind {
            LoginKind::Token => self.tokens.find_user(&digest),
            LoginKind::Ticket => self.tickets.find_user(&digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Directory {
        let mut listed = Directory::default();
        assert!(listed.add_client("app", vec![Digest::of_secret("old"), Digest::of_secret("new")]));
        assert!(listed.add_login(LoginKind::Token, Digest::of_secret("t"), "admin"));
        assert!(listed.add_login(LoginKind::Ticket, Digest::of_secret("k"), "admin"));
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
        assert!(!listed.add_login(LoginKind::Token, Digest::of_secret("t"), "other"));
        assert!(!listed.add_client("app", vec![]));
    }
}
