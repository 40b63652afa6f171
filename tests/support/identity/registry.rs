//! Whom the services know, and the methods by which a test says so.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Identity;
use crate::random;

/// Where everybody belongs at first.
const TENANT: &str = "system";

/// Whom the services know.
pub struct Registry {
    /// The gateway's own credentials towards bkauth.
    pub gateway_code: String,
    pub gateway_secret: String,
    /// The gateway's own credential towards the login service.
    pub bearer: String,
    /// Secrets by app, the oldest first.
    pub apps: HashMap<String, Vec<String>>,
    pub access_tokens: HashMap<String, AccessToken>,
    /// Usernames by `bk_token`.
    pub tokens: HashMap<String, String>,
    /// Usernames by `bk_ticket`.
    pub tickets: HashMap<String, String>,
    /// The tenant of an app or user; whoever is not listed belongs to [`TENANT`].
    app_tenants: HashMap<String, String>,
    user_tenants: HashMap<String, String>,
    /// Services of different age differ in the status of a token that they do not know.
    pub unknown_access_token_status: u16,
}

/// Whom an access token speaks for.
pub struct AccessToken {
    pub app: String,
    /// Empty if it speaks for the app alone.
    pub user: String,
    pub expires_in: i64,
}

impl Registry {
    pub fn new() -> Self {
        Self {
            gateway_code: "linkgate".to_owned(),
            gateway_secret: random(),
            bearer: random(),
            apps: HashMap::new(),
            access_tokens: HashMap::new(),
            tokens: HashMap::new(),
            tickets: HashMap::new(),
            app_tenants: HashMap::new(),
            user_tenants: HashMap::new(),
            unknown_access_token_status: 400,
        }
    }

    /// What bkauth says of an app; one of no tenant belongs to all.
    pub fn show_app(&self, code: &str) -> Value {
        let tenant = self.app_tenants.get(code).map_or(TENANT, String::as_str);
        let mode = if tenant.is_empty() { "global" } else { "single" };
        json!({"bk_app_code": code, "name": code, "description": "", "bk_tenant": {"mode": mode, "id": tenant}})
    }

    /// Where a user belongs.
    pub fn user_tenant(&self, username: &str) -> &str {
        self.user_tenants.get(username).map_or(TENANT, String::as_str)
    }
}

impl Identity {
    /// Knows an app, by one more secret; returns it.
    pub fn add_app(&self, code: &str) -> String {
        let secret = random();
        self.know_secret(code, &secret);
        secret
    }

    /// Knows an app by this secret as well.
    pub fn know_secret(&self, code: &str, secret: &str) {
        self.registry().apps.entry(code.to_owned()).or_default().push(secret.to_owned());
    }

    /// Knows an app by this secret no more.
    pub fn remove_secret(&self, code: &str, secret: &str) {
        if let Some(secrets) = self.registry().apps.get_mut(code) {
            secrets.retain(|known| known != secret);
        }
    }

    /// Knows an app no more.
    pub fn remove_app(&self, code: &str) {
        self.registry().apps.remove(code);
    }

    /// Moves an app to this tenant, or with an empty one to all.
    pub fn move_app(&self, code: &str, tenant: &str) {
        self.registry().app_tenants.insert(code.to_owned(), tenant.to_owned());
    }

    /// Moves a user to this tenant.
    pub fn move_user(&self, username: &str, tenant: &str) {
        self.registry().user_tenants.insert(username.to_owned(), tenant.to_owned());
    }

    /// Makes a `bk_token` of a user.
    pub fn add_token(&self, username: &str) -> String {
        let token = random();
        self.know_token(&token, username);
        token
    }

    /// Knows a user by this `bk_token`.
    pub fn know_token(&self, token: &str, username: &str) {
        self.registry().tokens.insert(token.to_owned(), username.to_owned());
    }

    /// A `bk_token` ends.
    pub fn remove_token(&self, token: &str) {
        self.registry().tokens.remove(token);
    }

    /// Makes a `bk_ticket` of a user.
    pub fn add_ticket(&self, username: &str) -> String {
        let ticket = random();
        self.know_ticket(&ticket, username);
        ticket
    }

    /// Knows a user by this `bk_ticket`.
    pub fn know_ticket(&self, ticket: &str, username: &str) {
        self.registry().tickets.insert(ticket.to_owned(), username.to_owned());
    }

    /// A `bk_ticket` ends.
    pub fn remove_ticket(&self, ticket: &str) {
        self.registry().tickets.remove(ticket);
    }

    /// Makes an access token of an app and a user, or of an app alone, that is good for an hour.
    pub fn add_access_token(&self, app: &str, username: Option<&str>) -> String {
        let token = random();
        self.know_access_token(&token, app, username, 3_600);
        token
    }

    /// Knows an access token that is good for so many seconds.
    pub fn know_access_token(&self, token: &str, app: &str, username: Option<&str>, expires_in: i64) {
        let (app, user) = (app.to_owned(), username.unwrap_or_default().to_owned());
        self.registry().access_tokens.insert(token.to_owned(), AccessToken { app, user, expires_in });
    }

    /// An access token ends.
    pub fn remove_access_token(&self, token: &str) {
        self.registry().access_tokens.remove(token);
    }

    /// Answers for an unknown access token with this status, 400 at first. The body is the same.
    pub fn answer_unknown_access_tokens_with(&self, status: u16) {
        self.registry().unknown_access_token_status = status;
    }

    /// Wants another secret of the gateway from now on, as after a rotation that the gateway missed.
    pub fn rotate_gateway_secret(&self) {
        self.registry().gateway_secret = random();
    }

    /// Wants another bearer from now on.
    pub fn rotate_bearer(&self) {
        self.registry().bearer = random();
    }
}
