//! What the services say to a request when they are well.

use serde_json::{Value, json};

use super::registry::Registry;
use super::{Asked, Question, Service};

/// A status and the JSON with it.
pub type Answer = (u16, Value);

/// Which question a request is.
pub fn question(service: Service, method: &str, path: &str) -> Question {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match (service, method, parts.as_slice()) {
        (Service::Bkauth, "POST", ["api", "v1", "apps", _, "access-keys", "verify"]) => Question::VerifySecret,
        (Service::Bkauth, "GET", ["api", "v1", "apps", _, "access-keys"]) => Question::ListSecrets,
        (Service::Bkauth, "GET", ["api", "v1", "apps", _]) => Question::AppTenant,
        (Service::Bkauth, "POST", ["api", "v1", "auth", "access-tokens", "verify"]) => Question::VerifyAccessToken,
        (Service::Login, "GET", ["login", "api", "v2", "is_login", ""]) => Question::IsLogin,
        (Service::Login, "GET", ["login", "api", "v3", "apigw", "bk-tokens", "verify", ""]) => Question::VerifyToken,
        (Service::Ticket, "GET", _) => Question::VerifyTicket,
        _ => Question::Unknown,
    }
}

/// The answer to a request.
pub fn answer(registry: &Registry, asked: &Asked) -> Answer {
    match asked.question {
        Question::VerifySecret | Question::ListSecrets | Question::AppTenant | Question::VerifyAccessToken => {
            bkauth(registry, asked)
        }
        Question::IsLogin => is_login(registry, asked),
        Question::VerifyToken => verify_token(registry, asked),
        Question::VerifyTicket => verify_ticket(registry, asked),
        Question::Unknown => (404, json!({"code": 404, "message": "not found", "data": null})),
    }
}

fn bkauth(registry: &Registry, asked: &Asked) -> Answer {
    let presented = (asked.header("x-bk-app-code"), asked.header("x-bk-app-secret"));
    if presented != (Some(&registry.gateway_code), Some(&registry.gateway_secret)) {
        return bkauth_error(401, 1_901_401, "app code or app secret wrong");
    }
    if asked.question == Question::VerifyAccessToken {
        return verify_access_token(registry, asked);
    }
    let Some(secrets) = app_of(asked).and_then(|code| registry.apps.get(&code)) else {
        return bkauth_error(404, 1_901_404, "App not found");
    };
    if asked.question == Question::ListSecrets {
        let keys = secrets.iter().zip(1_u32..).map(
            |(secret, id)| json!({"id": id, "bk_app_secret": secret, "created_at": 1_700_000_000, "enabled": true}),
        );
        return ok(&Value::from_iter(keys));
    }
    if asked.question == Question::AppTenant {
        return ok(&app_of(asked).map(|code| registry.show_app(&code)).unwrap_or_default());
    }
    let body = asked.json();
    let Some(presented) = body["bk_app_secret"].as_str() else {
        return bkauth_error(400, 1_901_400, "bad request: bk_app_secret is required");
    };
    ok(&json!({"is_match": secrets.iter().any(|secret| secret == presented)}))
}

fn verify_access_token(registry: &Registry, asked: &Asked) -> Answer {
    let body = asked.json();
    match body["access_token"].as_str().and_then(|token| registry.access_tokens.get(token)) {
        Some(token) => ok(&json!({
            "bk_app_code": token.app,
            "identity": {"username": token.user},
            "expires_in": token.expires_in,
        })),
        None => bkauth_error(registry.unknown_access_token_status, 1_901_403, "access_token is invalid"),
    }
}

/// The app that the path names, decoded.
fn app_of(asked: &Asked) -> Option<String> {
    // In a path `+` and `&` are themselves; only `%` stands for something else.
    let pair = format!("code={}", asked.path.split('/').nth(4)?.replace('+', "%2B").replace('&', "%26"));
    let (_, code) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    Some(code.into_owned())
}

fn ok(data: &Value) -> Answer {
    (200, json!({"code": 0, "data": data, "message": "OK"}))
}

fn bkauth_error(status: u16, code: u32, message: &str) -> Answer {
    (status, json!({"code": code, "message": message, "data": null}))
}

fn is_login(registry: &Registry, asked: &Asked) -> Answer {
    let user = asked.queried("bk_token").and_then(|token| registry.tokens.get(&token));
    let body = match user {
        Some(user) => json!({"result": true, "code": 0, "message": "", "data": {"bk_username": user}}),
        None => json!({
            "result": false, "code": 1_302_403, "message": EXPIRED, "bk_error_msg": EXPIRED, "data": {},
        }),
    };
    (200, body)
}

/// What the login service says of a token that it does not know, or knows no more.
const EXPIRED: &str = "登录态已过期";

fn verify_token(registry: &Registry, asked: &Asked) -> Answer {
    let error = |code: &str, message: &str| json!({"error": {"code": code, "message": message}});
    if asked.header("authorization") != Some(format!("Bearer {}", registry.bearer).as_str()) {
        return (401, error("UNAUTHENTICATED", "未认证"));
    }
    match asked.queried("bk_token").and_then(|token| registry.tokens.get(&token)) {
        Some(user) => (200, json!({"data": {"bk_username": user, "tenant_id": registry.user_tenant(user)}})),
        None => (400, error("VALIDATION_ERROR", EXPIRED)),
    }
}

fn verify_ticket(registry: &Registry, asked: &Asked) -> Answer {
    let body = match asked.queried("bk_ticket").and_then(|ticket| registry.tickets.get(&ticket)) {
        Some(user) => json!({"ret": 0, "msg": "", "data": {"username": user}}),
        None => json!({"ret": 1, "msg": "ticket is invalid"}),
    };
    (200, body)
}
