//! A gateway that asks identity services, and callers of every kind whom these know.

use std::sync::atomic::{AtomicU64, Ordering};

use linkgate_tests::gateway::{APP, GatewayPlan, USER};
use linkgate_tests::signature::signed_target;
use linkgate_tests::token::{RsaMint, TokenMint, now_s};
use linkgate_tests::{Identity, LinkRequestBuilder, Question, Reply, Service, random};
use serde_json::{Value, json};

use crate::replies::{WholeStack, stranger};

/// An app that bkauth knows and the policy does not list.
pub const CI: &str = "ci";
/// A user whom only the services know.
pub const ANNA: &str = "anna";
/// The gateway whose tokens are believed.
pub const OTHER_GATEWAY: &str = "bk-apigateway";
/// The prefix under which [`CI`] needs no user.
pub const EXEMPT: &str = "/exempt";
/// What all prefixes lead to.
pub const UPLOAD: &str = "/bkapps/applications/app_code/modules/default/source_package/link/";

/// A way to say who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Secret,
    Signature,
    Token,
    TokenCookie,
    Ticket,
    TicketCookie,
    UserToken,
    AppToken,
    Jwt,
    InnerEdDsa,
    InnerRs512,
}

impl Proof {
    pub const ALL: [Self; 11] = [
        Self::Secret,
        Self::Signature,
        Self::Token,
        Self::TokenCookie,
        Self::Ticket,
        Self::TicketCookie,
        Self::UserToken,
        Self::AppToken,
        Self::Jwt,
        Self::InnerEdDsa,
        Self::InnerRs512,
    ];

    /// One for each question that is asked.
    pub const ASKED: [Self; 5] = [Self::Secret, Self::Signature, Self::Token, Self::Ticket, Self::UserToken];

    /// Who is asked, and what.
    pub fn question(self) -> Option<(Service, Question)> {
        match self {
            Self::Secret => Some((Service::Bkauth, Question::VerifySecret)),
            Self::Signature => Some((Service::Bkauth, Question::ListSecrets)),
            Self::UserToken | Self::AppToken | Self::Jwt => Some((Service::Bkauth, Question::VerifyAccessToken)),
            Self::Token | Self::TokenCookie => Some((Service::Login, Question::IsLogin)),
            Self::Ticket | Self::TicketCookie => Some((Service::Ticket, Question::VerifyTicket)),
            Self::InnerEdDsa | Self::InnerRs512 => None,
        }
    }
}

/// Somebody with credentials, good or not; a test changes one thing.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The header's fields.
    pub presented: Value,
    pub cookie: Option<String>,
    /// The secret that signs.
    pub signs_with: Option<String>,
    pub prefix: &'static str,
    /// Whom the catalog names.
    pub operator: &'static str,
    /// What no log may hold.
    pub secrets: Vec<String>,
}

/// The services, the gateway before them, and the other gateway's keys.
pub struct Platform {
    pub identity: Identity,
    pub stack: WholeStack,
    pub other: TokenMint,
    pub other_rsa: RsaMint,
    drawn: AtomicU64,
}

impl Platform {
    /// With one worker, so that what is asked and what is cached can be counted.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same under a changed policy.
    pub async fn with(change: impl FnOnce(&mut Value)) -> Self {
        Self::planned(GatewayPlan::new().workers(1), change).await
    }

    /// The same with another gateway.
    pub async fn planned(plan: GatewayPlan, change: impl FnOnce(&mut Value)) -> Self {
        Self::built(plan, &[], &[], change).await
    }

    /// The same with settings of the store, and more hosts that the policy and the store allow.
    pub async fn built(
        plan: GatewayPlan,
        settings: &[(&str, &str)],
        more_hosts: &[String],
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let (identity, other, other_rsa) = (Identity::start().await, TokenMint::named(OTHER_GATEWAY), RsaMint::new());
        let keys = [String::from_utf8(other.pem()).unwrap(), other_rsa.public_pem()];
        let stack = WholeStack::under(plan.asking(&identity), settings, more_hosts, |policy, _| {
            policy["identity"] = services(&keys);
            policy["routes"]["stages"] = json!([
                {"name": "exempt", "prefixes": [EXEMPT], "authentication": {"verified_user_exempted_apps": [CI]}},
            ]);
            change(policy);
        })
        .await;
        Self { identity, stack, other, other_rsa, drawn: AtomicU64::new(1) }
    }

    /// Somebody new whom the services know, and who shows this.
    pub fn caller(&self, proof: Proof) -> Caller {
        let identity = &self.identity;
        match proof {
            Proof::Secret => self.app(&identity.add_app(CI)),
            Proof::Signature => {
                let code = format!("signer-{}", self.draw());
                let secret = identity.add_app(&code);
                let mut caller = self.app(&secret);
                caller.presented = json!({"bk_app_code": code, "bk_ticket": self.stack.gateway().credentials().ticket});
                caller.signs_with = Some(secret);
                caller
            }
            Proof::Token => self.user("bk_token", &identity.add_token(ANNA)),
            Proof::Ticket => self.user("bk_ticket", &identity.add_ticket(ANNA)),
            Proof::TokenCookie => self.browser("bk_token", &identity.add_token(ANNA)),
            Proof::TicketCookie => self.browser("bk_ticket", &identity.add_ticket(ANNA)),
            Proof::UserToken => {
                let token = identity.add_access_token(CI, Some(ANNA));
                Caller::of(json!({"access_token": token}), ANNA, &[&token])
            }
            Proof::AppToken => {
                let token = identity.add_access_token(CI, None);
                let caller = Caller::of(json!({"access_token": token}), CI, &[&token]);
                Caller { prefix: EXEMPT, ..caller }
            }
            Proof::Jwt => {
                let (token, jwt) = (identity.add_access_token(CI, None), self.other.sign(&claims()));
                Caller::of(json!({"access_token": token, "jwt": jwt}), ANNA, &[&token, &jwt])
            }
            Proof::InnerEdDsa => inner(&self.other.sign(&claims())),
            Proof::InnerRs512 => inner(&self.other_rsa.sign(OTHER_GATEWAY, &claims())),
        }
    }

    /// [`CI`] with this secret, for the user whom the policy lists.
    pub fn app(&self, secret: &str) -> Caller {
        let ticket = &self.stack.gateway().credentials().ticket;
        let presented = json!({"bk_app_code": CI, "bk_app_secret": secret, "bk_ticket": ticket});
        Caller::of(presented, USER, &[secret, ticket])
    }

    /// The app that the policy lists, for a user who shows this.
    pub fn user(&self, name: &str, value: &str) -> Caller {
        let mut caller = self.browser(name, value);
        caller.presented[name] = value.into();
        caller.cookie = None;
        caller
    }

    /// The same, presented in a cookie.
    pub fn browser(&self, name: &str, value: &str) -> Caller {
        let secret = &self.stack.gateway().credentials().secret;
        let mut caller = Caller::of(json!({"bk_app_code": APP, "bk_app_secret": secret}), ANNA, &[secret, value]);
        caller.cookie = Some(format!("other=1; {name}={value}"));
        caller
    }

    /// A request of theirs that was not made before.
    pub fn request(&self, caller: &Caller) -> LinkRequestBuilder {
        self.request_for(caller, &self.stack.source().url())
    }

    /// The same for this link.
    pub fn request_for(&self, caller: &Caller, link: &str) -> LinkRequestBuilder {
        let (number, path) = (self.draw(), format!("{}{UPLOAD}", caller.prefix));
        let body = json!({"package_url": link, "version": number.to_string()}).to_string();
        let path = match &caller.signs_with {
            Some(secret) => signed_target(&path, number, now_s(), &body, secret),
            None => path,
        };
        let request = stranger(self.stack.source().url()).path(path).raw_body(body);
        let request = request.header("x-bkapi-authorization", &caller.presented.to_string());
        caller.cookie.iter().fold(request, |request, cookie| request.header("cookie", cookie))
    }

    /// Sends a request that must be served; gives what the gate noted of it in the access log.
    pub async fn serve(&self, caller: &Caller) -> Value {
        let reply = self.stack.send(self.request(caller)).await;
        assert_eq!(reply.status, 200, "{caller:?}: {reply:?}");
        assert_eq!(reply.json()["operator"], caller.operator, "{caller:?}");
        self.stack.gateway().access_line(&reply).await["gate"].take()
    }

    /// Sends a request that must be refused, and checks that nothing of it got to the store.
    pub async fn refuse(&self, caller: &Caller) -> Reply {
        self.stack.refuse_at_gate(self.request(caller)).await
    }

    /// A number that was not drawn before.
    fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed)
    }
}

impl Caller {
    fn of(presented: Value, operator: &'static str, secrets: &[&str]) -> Self {
        let secrets = secrets.iter().map(ToString::to_string).collect();
        Self { presented, cookie: None, signs_with: None, prefix: "/stag", operator, secrets }
    }

    /// With another field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.presented[name] = value.into();
        self
    }

    /// The same with every proof replaced by one that nobody knows.
    pub fn forged(mut self) -> Self {
        let known = std::mem::take(&mut self.secrets);
        let mut text = self.presented.to_string();
        for secret in known {
            // A token of another gateway stays one, with a signature that is none.
            let forged = match secret.rsplit_once('.') {
                Some((signed, _)) => format!("{signed}.{}", random()),
                None => random(),
            };
            text = text.replace(&secret, &forged);
            self.cookie = self.cookie.map(|cookie| cookie.replace(&secret, &forged));
            self.signs_with = self.signs_with.map(|own| own.replace(&secret, &forged));
            self.secrets.push(forged);
        }
        self.presented = serde_json::from_str(&text).unwrap();
        self
    }
}

/// What the policy says of the services.
fn services(keys: &[String]) -> Value {
    let keys: Vec<_> = keys.iter().map(|key| json!({"kid": OTHER_GATEWAY, "public_key": key})).collect();
    json!({
        "bkauth": {"cluster": "bkauth", "authority": "bkauth.internal"},
        "login": {"cluster": "bklogin"},
        "ticket": {"cluster": "bkticket", "path": "/user/is_login/"},
        "jwt_keys": keys,
        "inner_jwt_kid": OTHER_GATEWAY,
    })
}

/// What the other gateway says of [`CI`] and [`ANNA`], different each time.
pub fn claims() -> Value {
    json!({
        "iss": "APIGW", "nbf": now_s() - 300, "exp": now_s() + 300, "jti": random(),
        "app": {
            "version": 1, "app_code": CI, "verified": true, "valid_error_message": "",
            "tenant_mode": "single", "tenant_id": "system",
        },
        "user": {
            "version": 1, "username": ANNA, "verified": true, "valid_error_message": "", "tenant_id": "system",
        },
    })
}

/// Who comes by way of the other gateway.
pub fn inner(jwt: &str) -> Caller {
    Caller::of(json!({"inner_jwt": jwt}), ANNA, &[jwt])
}
