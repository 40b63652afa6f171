//! The demo's stand-in for the login of a platform: a link signs in whoever has it, as the demo's user.
//!
//! Promises: only who has the link that the command printed is signed in, and led to the console and nowhere else.

use secrecy::{ExposeSecret, SecretString};

use super::demo::{Credentials, random_hex};
use crate::error::Outcome;

/// Where the policy sends people who are not signed in.
pub const PATH: &str = "/login/";
/// The parameter of the link that signs in.
const CODE: &str = "code=";
/// What others read.
const HELP: &[u8] = b"Open the link after `console` that `cargo xtask up` has printed: it signs you in.\n";

/// Who may sign in, as whom, and where they go then.
pub struct Login {
    code: SecretString,
    ticket: SecretString,
    console: String,
}

/// What a request for it is answered with: a status, more headers, and a body.
pub struct Answer {
    /// With its words.
    pub status: &'static str,
    /// Each with its line break.
    pub headers: String,
    /// Text.
    pub body: &'static [u8],
}

impl Login {
    /// Signs in to the console of the gateway that speaks this scheme at this port.
    pub fn new(credentials: &Credentials, scheme: &str, gateway: u16) -> Outcome<Self> {
        let (code, ticket) = (random_hex()?.into(), credentials.ticket.clone());
        Ok(Self { code, ticket, console: format!("{scheme}://127.0.0.1:{gateway}/console/") })
    }

    /// The link that signs in, served by the sample's server at this port.
    pub fn link(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}{PATH}?{CODE}{}", self.code.expose_secret())
    }

    /// The answer to a query of [`PATH`].
    pub fn answer(&self, query: &str) -> Answer {
        if query.strip_prefix(CODE) != Some(self.code.expose_secret()) {
            return Answer { status: "403 Forbidden", headers: String::new(), body: HELP };
        }
        // Browsers keep cookies by host, whatever the port is.
        let cookie = format!("bk_ticket={}; Path=/; HttpOnly; SameSite=Lax", self.ticket.expose_secret());
        let headers = format!("location: {}\r\nset-cookie: {cookie}\r\n", self.console);
        Answer { status: "302 Found", headers, body: b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_signs_in_and_nothing_else_does() {
        let credentials = Credentials { secret: "s".into(), ticket: "t1cket".into() };
        let login = Login::new(&credentials, "http", 8080).unwrap();
        let link = login.link(8090);
        let (place, query) = link.split_once('?').unwrap();
        assert_eq!(place, "http://127.0.0.1:8090/login/");
        let answer = login.answer(query);
        assert_eq!(answer.status, "302 Found");
        assert!(answer.headers.contains("location: http://127.0.0.1:8080/console/\r\n"), "{}", answer.headers);
        assert!(answer.headers.contains("set-cookie: bk_ticket=t1cket; Path=/; HttpOnly; SameSite=Lax\r\n"));
        for other in ["", "code=", "code=0", &format!("{query}0"), "c_url=http://127.0.0.1:8080/console/"] {
            let answer = login.answer(other);
            assert_eq!((answer.status, answer.headers.as_str()), ("403 Forbidden", ""), "{other}");
        }
    }
}
