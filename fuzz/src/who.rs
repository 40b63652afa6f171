//! Who a request proves to come from: a second reading of credentials and of what services answered, by the API's rules.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use linkgate_contract::Claims;
use serde_json::{Map, Value};
use sha1::Sha1;

use crate::drive::Asked;
use crate::request::{Pairs, all, form, hidden, json, text};
use crate::tokens;
use crate::world::{APP, APP_SECRET, BK_TICKET, BK_TOKEN, Stage, USER, is_exempted};
use crate::{multipart, refused};

/// What a request shows.
pub struct Presented {
    /// Whatever the caller wrote.
    pub fields: Map<String, Value>,
    /// By a browser: `bk_token` and `bk_ticket`.
    pub cookies: [Option<String>; 2],
}

impl Presented {
    /// Reads it from where a stage lets it stand; a header shuts out every other place, and two of them everything. What a
    /// browser adds by itself counts only beside the header, which no foreign page can make it send.
    pub fn read(stage: &Stage, pairs: &Pairs<'_>, body: &[u8]) -> Option<Self> {
        let headers = all(pairs, "x-bkapi-authorization");
        let target = text(pairs, ":path").unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let fields = match headers[..] {
            [header] => match json(header)? {
                Value::Object(fields) => fields,
                Value::Array(_) => Map::new(),
                _ => return None,
            },
            [] if stage.body => {
                let mut fields = if stage.query { form(query.as_bytes()) } else { Map::new() };
                fields.extend(body_fields(pairs, body));
                fields
            }
            [] if stage.query => form(query.as_bytes()),
            [] => Map::new(),
            _ => return None,
        };
        let cookies = ["bk_token", "bk_ticket"].map(|name| cookie(pairs, name).filter(|_| !headers.is_empty()));
        Some(Self { fields, cookies })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn alias(&self, name: &str, old: &str) -> String {
        match self.fields.get(name).or_else(|| self.fields.get(old)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    fn app_code(&self) -> String {
        self.alias("bk_app_code", "app_code")
    }

    /// What must stay between the caller and the services: all but what is a name elsewhere in the request, and what a
    /// service says by itself.
    pub fn secrets(&self, pairs: &Pairs<'_>, asked: &[Asked<'_>]) -> Vec<&str> {
        let named = ["bk_app_secret", "app_secret", "bk_token", "bk_ticket", "access_token", "jwt", "inner_jwt"];
        let fields = named.into_iter().filter_map(|name| self.text(name));
        let all: Vec<_> = fields.chain(self.cookies.iter().flatten().map(String::as_str)).collect();
        let app_code = self.app_code();
        let is_told = |secret: &str| app_code.contains(secret) || asked.iter().any(|asked| tells(asked, secret));
        hidden(pairs, &all).into_iter().filter(|secret| !is_told(secret)).collect()
    }
}

/// Whether an answer calls somebody by a secret, or tells one that it was not asked about.
fn tells(asked: &Asked<'_>, secret: &str) -> bool {
    let said = asked.said();
    let data = &said["data"];
    let names = [&data["identity"]["username"], &data["bk_username"], &data["username"], &data["bk_app_code"]];
    let is_name = names.into_iter().filter_map(Value::as_str).any(|name| name.contains(secret));
    is_name || (refused::contains(&said, secret) && asked.secret().is_none_or(|about| !about.contains(secret)))
}

/// The fields of a body, by what its type says it is.
pub fn body_fields(pairs: &Pairs<'_>, body: &[u8]) -> Map<String, Value> {
    let content_type = all(pairs, "content-type").first().copied().unwrap_or_default();
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    match &essence[..] {
        b"application/x-www-form-urlencoded" => form(body),
        b"multipart/form-data" => multipart::fields(content_type, body),
        b"application/json" => match json(body) {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

fn cookie(pairs: &Pairs<'_>, name: &str) -> Option<String> {
    let values = all(pairs, "cookie").into_iter().filter_map(|value| std::str::from_utf8(value).ok());
    let mut found = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = found.find(|(key, value)| *key == name && !value.is_empty())?;
    let encoded = value.trim_matches('"').replace('+', "%2B").replace('&', "%26");
    form_urlencoded::parse(format!("v={encoded}").as_bytes()).next().map(|(_, value)| value.into_owned())
}

/// All that may prove who somebody is.
pub struct CredentialsCheck<'a> {
    /// What the caller shows.
    pub presented: &'a Presented,
    /// What services were asked, and what they said.
    pub asked: &'a [Asked<'a>],
    /// The head.
    pub pairs: &'a Pairs<'a>,
    /// The body.
    pub body: &'a [u8],
    /// When, in seconds.
    pub now: i64,
}

impl CredentialsCheck<'_> {
    /// Checks that whom the gate vouches for is who the request proves to come from, and that the stage lets them in.
    pub fn check(&self, stage: &Stage, claims: &Claims) {
        let (app, user) = (&claims.app, &claims.user);
        assert!(app.verified || user.verified, "nobody is known");
        assert!(app.verified || !stage.app_required, "the app is not known");
        let exempted = !stage.user_required || stage.exempt && app.verified && is_exempted(&app.app_code);
        assert!(user.verified || exempted, "the user is not known");
        assert_eq!(claims.linkgate.app_optional, !app.verified);
        assert_eq!(claims.linkgate.user_optional, !user.verified);
        assert!(!app.verified || self.apps().contains(&app.app_code), "nothing proves the app {:?}", app.app_code);
        assert!(!user.verified || self.users().contains(&user.username), "nothing proves the user {:?}", user.username);
        assert!(user.verified || user.username.is_empty());
    }

    /// The strongest kind of proof decides; the secret counts for the app also when its access token fails.
    fn apps(&self) -> Vec<String> {
        match (self.presented.text("jwt"), self.presented.text("access_token"), self.presented.text("inner_jwt")) {
            (Some(_), _, _) => self.token().map(|(app, _)| app).into_iter().collect(),
            (None, Some(_), _) => self.token().map(|(app, _)| app).into_iter().chain(self.plain_apps()).collect(),
            (None, None, Some(token)) => {
                (token == tokens::valid()).then(|| "mcp_7_ci".to_owned()).into_iter().collect()
            }
            (None, None, None) => self.plain_apps(),
        }
    }

    fn users(&self) -> Vec<String> {
        match (self.presented.text("jwt"), self.presented.text("access_token"), self.presented.text("inner_jwt")) {
            (Some(token), _, _) | (None, None, Some(token)) => {
                (token == tokens::valid()).then(|| "anna".to_owned()).into_iter().collect()
            }
            (None, Some(_), _) => self.token().map(|(_, user)| user).into_iter().collect(),
            (None, None, None) => self.plain_users(),
        }
    }

    /// What a service said to a question, where it went well.
    fn said(&self, path: &str, body: &str) -> Option<Value> {
        let question = self.asked.iter().find(|asked| asked.path() == path && asked.call.body == body.as_bytes())?;
        let (_, answer) = question.answer.filter(|(status, _)| *status == 200)?;
        serde_json::from_slice(answer).ok()
    }

    fn of_bkauth(&self, path: &str, body: &str) -> Option<Value> {
        let mut said = self.said(path, body).filter(|said| said["code"].as_i64() == Some(0))?;
        Some(said["data"].take())
    }

    fn token(&self) -> Option<(String, String)> {
        let token = self.presented.text("access_token")?;
        let body = serde_json::json!({"access_token": token}).to_string();
        let data = self.of_bkauth("/api/v1/auth/access-tokens/verify", &body)?;
        let lives = self.now.saturating_add(data["expires_in"].as_i64()?) > self.now;
        let user = data["identity"]["username"].as_str().unwrap_or_default();
        lives.then(|| (data["bk_app_code"].as_str().unwrap_or_default().to_owned(), user.to_owned()))
    }

    fn plain_apps(&self) -> Vec<String> {
        let (app, secret) = (self.presented.app_code(), self.presented.alias("bk_app_secret", "app_secret"));
        let verify = format!("/api/v1/apps/{app}/access-keys/verify");
        let asked = serde_json::json!({"bk_app_secret": secret}).to_string();
        let vouched = || self.of_bkauth(&verify, &asked).is_some_and(|data| data["is_match"] == true);
        let proved = if secret.is_empty() {
            app != APP
                && self
                    .of_bkauth(&format!("/api/v1/apps/{app}/access-keys"), "")
                    .is_some_and(|keys| self.is_signed_by(&keys))
        } else {
            (app == APP && secret == APP_SECRET) || (app != APP && vouched())
        };
        proved.then_some(app).into_iter().collect()
    }

    fn is_signed_by(&self, keys: &Value) -> bool {
        let (path, query) = text(self.pairs, ":path").and_then(|target| target.split_once('?')).unwrap_or_default();
        let method = text(self.pairs, ":method").unwrap_or_default();
        let has_body = method == "POST";
        let mut signature = None;
        let mut old = None;
        let mut pairs = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "bk_signature" => signature = signature.or(Some(value)),
                "signature" => old = old.or(Some(value)),
                "data" if has_body => {}
                _ => pairs.push((name, value)),
            }
        }
        let Ok(body) = std::str::from_utf8(self.body) else { return false };
        if has_body {
            pairs.push(("data".into(), body.into()));
        }
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let content = format!("{method}{path}?{}", query.join("&"));
        let signature = signature.filter(|text| !text.is_empty()).or(old).unwrap_or_default();
        let Ok(signature) = STANDARD.decode(signature.as_bytes()) else { return false };
        let keys = keys.as_array().into_iter().flatten().filter(|key| key["enabled"] != false);
        let mut secrets = keys.filter_map(|key| key["bk_app_secret"].as_str()).filter(|secret| !secret.is_empty());
        secrets.any(|secret| {
            let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&content);
            mac.finalize().into_bytes()[..] == signature[..]
        })
    }

    /// A token goes before a ticket; what a browser adds counts only where neither is presented.
    fn plain_users(&self) -> Vec<String> {
        let presented = [self.presented.text("bk_token"), self.presented.text("bk_ticket")];
        let cookies = [self.presented.cookies[0].as_deref(), self.presented.cookies[1].as_deref()];
        let [token, ticket] = if presented == [None, None] { cookies } else { presented };
        match (token, ticket) {
            (Some(BK_TOKEN), _) | (None, Some(BK_TICKET)) => vec![USER.to_owned()],
            (Some(token), _) => self.login(token).into_iter().collect(),
            (None, Some(ticket)) => {
                let said = self.said(&format!("/is_login/?{}", query("bk_ticket", ticket)), "");
                let said = said.filter(|said| said["ret"].as_i64() == Some(0));
                said.and_then(|said| said["data"]["username"].as_str().map(str::to_owned)).into_iter().collect()
            }
            (None, None) => Vec::new(),
        }
    }

    fn login(&self, token: &str) -> Option<String> {
        let query = query("bk_token", token);
        let tenants = self.said(&format!("/login/api/v3/apigw/bk-tokens/verify/?{query}"), "");
        let plain = || self.said(&format!("/login/api/v2/is_login/?{query}"), "");
        let said = tenants.or_else(plain)?;
        let good = said.get("result").is_none_or(|result| *result == true);
        said["data"]["bk_username"].as_str().filter(|_| good).map(str::to_owned)
    }
}

fn query(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}
