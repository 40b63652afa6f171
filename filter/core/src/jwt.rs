//! Tokens that another gateway signed: `jwt` and `inner_jwt`.
//!
//! Promises: the signature is checked, with the algorithm of the policy's key, before any claim is believed; every refusal
//! says what is wrong in BlueKing's words. Refuses tokens with critical extensions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkgate_contract::{TenantId, is_printable_name};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::keys::PublicKey;
use crate::reason::Reason;

/// How far another gateway's clock may be off, in seconds.
const SKEW_S: i64 = 60;

/// A key of another gateway.
#[derive(Debug)]
pub(crate) struct JwtKey {
    pub(crate) kid: String,
    pub(crate) key: PublicKey,
    /// Tells this key from another one of its name in the cache.
    pub(crate) fingerprint: String,
}

/// Every key of a policy.
#[derive(Debug, Default)]
pub(crate) struct JwtKeys {
    pub(crate) keys: Vec<JwtKey>,
    /// The one gateway whose `inner_jwt` is believed.
    pub(crate) inner_kid: Option<String>,
}

/// What a token says, its signature checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JwtFacts {
    pub(crate) kid: String,
    pub(crate) app: Option<Party>,
    pub(crate) user: Option<Party>,
    pub(crate) expires_at: i64,
}

/// An app or user in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) verified: bool,
    /// Where it belongs, as far as the gateway says so; the mode is an app's.
    pub(crate) tenant_mode: Option<String>,
    pub(crate) tenant: Option<TenantId>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Payload {
    nbf: Option<i64>,
    exp: Option<i64>,
    app: Option<AppPart>,
    user: Option<UserPart>,
}

#[derive(Deserialize)]
struct AppPart {
    #[serde(default)]
    app_code: String,
    #[serde(default)]
    verified: bool,
    #[serde(default)]
    tenant_mode: Value,
    #[serde(default)]
    tenant_id: Value,
}

#[derive(Deserialize)]
struct UserPart {
    #[serde(default)]
    username: String,
    #[serde(default)]
    verified: bool,
    #[serde(default)]
    tenant_id: Value,
}

fn invalid(what: &str) -> Reason {
    Reason(format!("parameter jwt is invalid: {what}").into())
}

fn decode_part<T: DeserializeOwned>(part: &str) -> Result<T, Reason> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| invalid("JWT Token invalid"))?;
    serde_json::from_slice(&json).map_err(|_| invalid("JWT Token invalid"))
}

impl JwtKeys {
    /// The keys that a token's `kid` names, so that its cached facts end with them. No signature is checked here.
    pub(crate) fn key_fingerprints(&self, token: &str) -> String {
        let kid =
            token.split('.').next().and_then(|part| decode_part::<Header>(part).ok()).and_then(|header| header.kid);
        let named = self.keys.iter().filter(|key| Some(&key.kid) == kid.as_ref());
        named.map(|key| key.fingerprint.as_str()).collect::<Vec<_>>().join(",")
    }

    /// What it would cost at the most to verify a token's signature, see [`PublicKey::work_us`].
    pub(crate) fn work_us(&self, token: &str) -> u32 {
        let header = token.split('.').next().and_then(|part| decode_part::<Header>(part).ok());
        let Some(Header { alg, kid: Some(kid), .. }) = header else { return 0 };
        self.keys.iter().filter(|key| key.kid == kid && key.key.algorithm() == alg).map(|key| key.key.work_us()).sum()
    }

    /// Checks a token's signature and times, and reads what it says.
    pub(crate) fn verify_token(&self, token: &str, now: i64) -> Result<JwtFacts, Reason> {
        let malformed = || invalid("JWT Token invalid");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header_part, payload_part) = signed.split_once('.').ok_or_else(malformed)?;
        let header: Header = decode_part(header_part)?;
        if header.crit.is_some() {
            return Err(invalid("critical extensions are not supported"));
        }
        let kid = header.kid.ok_or_else(|| invalid("missing kid in JWT token"))?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed())?;
        let mut of_kid = self.keys.iter().filter(|key| key.kid == kid).peekable();
        if of_kid.peek().is_none() {
            return Err(invalid("failed to get public_key of its gateway"));
        }
        let fits = |key: &JwtKey| key.key.algorithm() == header.alg && key.key.verifies(signed.as_bytes(), &signature);
        if !of_kid.any(fits) {
            return Err(invalid("failed to verify jwt, signature mismatch"));
        }
        check_claims(kid, decode_part(payload_part)?, now)
    }
}

fn check_claims(kid: String, payload: Payload, now: i64) -> Result<JwtFacts, Reason> {
    let (Some(nbf), Some(exp)) = (payload.nbf, payload.exp) else {
        return Err(invalid("failed to verify jwt, nbf and exp are required"));
    };
    if now < nbf.saturating_sub(SKEW_S) {
        return Err(invalid("failed to verify jwt, it is not valid yet"));
    }
    if now >= exp {
        return Err(invalid("failed to verify jwt, it has expired"));
    }
    Ok(JwtFacts {
        kid,
        app: payload.app.map(|app| Party {
            tenant_mode: app.tenant_mode.as_str().filter(|mode| !mode.is_empty()).map(str::to_owned),
            ..party(app.app_code, app.verified, &app.tenant_id)
        }),
        user: payload.user.map(|user| party(user.username, user.verified, &user.tenant_id)),
        expires_at: exp,
    })
}

fn party(name: String, verified: bool, tenant: &Value) -> Party {
    let tenant = tenant.as_str().and_then(|id| TenantId::new(id).ok());
    Party { verified: verified && is_printable_name(&name), name, tenant_mode: None, tenant }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::keys::{SigningKey, testing::Pair};

    /// A token of these parts.
    pub(crate) fn sign(pair: &Pair, header: &serde_json::Value, payload: &serde_json::Value) -> String {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(payload));
        let signature = SigningKey::parse(&pair.private).unwrap().sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A gateway's key.
    pub(crate) fn key(kid: &str, pair: &Pair) -> JwtKey {
        let key = PublicKey::parse(&pair.public).unwrap();
        JwtKey { kid: kid.to_owned(), key, fingerprint: pair.public.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::{key, sign};
    use super::*;
    use crate::keys::testing::{ed25519, rsa};

    fn payload() -> Value {
        json!({
            "iss": "APIGW", "nbf": 700, "exp": 1_900,
            "app": {"version": 1, "app_code": "ci", "verified": true},
            "user": {"version": 1, "username": "admin", "verified": true},
        })
    }

    fn keys() -> JwtKeys {
        JwtKeys { keys: vec![key("ed", &ed25519(1)), key("rsa", rsa())], inner_kid: None }
    }

    fn reason(token: &str) -> String {
        let reason = keys().verify_token(token, 1_000).unwrap_err().0.into_owned();
        reason.strip_prefix("parameter jwt is invalid: ").unwrap().to_owned()
    }

    #[test]
    fn a_token_of_either_kind_is_read() {
        for (pair, header) in [
            (&ed25519(1), json!({"typ": "JWT", "alg": "EdDSA", "kid": "ed"})),
            (rsa(), json!({"typ": "JWT", "alg": "RS512", "kid": "rsa", "iat": 1_000})),
        ] {
            let facts = keys().verify_token(&sign(pair, &header, &payload()), 1_000).unwrap();
            assert_eq!(facts.app, Some(party("ci".into(), true, &Value::Null)));
            assert_eq!(facts.user, Some(party("admin".into(), true, &Value::Null)));
            assert_eq!((facts.expires_at, facts.kid.as_str()), (1_900, header["kid"].as_str().unwrap()));
        }
    }

    #[test]
    fn a_token_says_where_its_app_and_user_belong() {
        let facts_of = |mode: Value, tenant: Value| {
            let mut payload = payload();
            payload["app"]["tenant_mode"] = mode;
            payload["app"]["tenant_id"] = tenant.clone();
            payload["user"]["tenant_id"] = tenant;
            let token = sign(&ed25519(1), &json!({"alg": "EdDSA", "kid": "ed"}), &payload);
            let JwtFacts { app, user, .. } = keys().verify_token(&token, 1_000).unwrap();
            (app.unwrap(), user.unwrap())
        };
        let (app, user) = facts_of("single".into(), "a".into());
        assert_eq!(
            (app.tenant_mode.as_deref(), app.tenant, user.tenant),
            (Some("single"), "a".parse().ok(), "a".parse().ok())
        );
        for none in [Value::Null, json!(""), json!(7)] {
            let (app, user) = facts_of(none.clone(), none);
            assert_eq!((app.tenant_mode, app.tenant, user.tenant), (None, None, None));
        }
    }

    #[test]
    fn a_token_cannot_choose_key_or_algorithm() {
        let ed = ed25519(1);
        let sign_as = |alg: &str, kid: &str| sign(&ed, &json!({"alg": alg, "kid": kid}), &payload());
        assert_eq!(reason(&sign_as("RS512", "ed")), "failed to verify jwt, signature mismatch");
        assert_eq!(reason(&sign_as("none", "ed")), "failed to verify jwt, signature mismatch");
        assert_eq!(reason(&sign_as("EdDSA", "rsa")), "failed to verify jwt, signature mismatch");
        assert_eq!(reason(&sign_as("EdDSA", "other")), "failed to get public_key of its gateway");
        assert_eq!(reason(&sign(&ed, &json!({"alg": "EdDSA"}), &payload())), "missing kid in JWT token");
        let crit = json!({"alg": "EdDSA", "kid": "ed", "crit": ["x"]});
        assert_eq!(reason(&sign(&ed, &crit, &payload())), "critical extensions are not supported");
        let stranger = sign(&ed25519(2), &json!({"alg": "EdDSA", "kid": "ed"}), &payload());
        assert_eq!(reason(&stranger), "failed to verify jwt, signature mismatch");
        for malformed in ["", ".", "..", "a.b", "a.b.c", "e30.e30"] {
            assert_eq!(reason(malformed), "JWT Token invalid", "{malformed:?}");
        }
    }

    #[test]
    fn only_a_signature_that_would_be_verified_costs_anything() {
        let token = |alg: &str, kid: &str| sign(&ed25519(1), &json!({"alg": alg, "kid": kid}), &payload());
        assert_eq!(keys().work_us(&token("RS512", "rsa")), 1_000);
        assert_eq!(keys().work_us(&token("EdDSA", "ed")), 200);
        for (alg, kid) in [("EdDSA", "rsa"), ("RS512", "ed"), ("RS512", "other"), ("none", "rsa")] {
            assert_eq!(keys().work_us(&token(alg, kid)), 0, "{alg} {kid}");
        }
        for malformed in ["", "a.b.c", ".."] {
            assert_eq!(keys().work_us(malformed), 0);
        }
        let two = JwtKeys { keys: vec![key("rsa", rsa()), key("rsa", rsa())], inner_kid: None };
        assert_eq!(two.work_us(&token("RS512", "rsa")), 2_000);
    }

    #[test]
    fn times_are_required_and_held() {
        let header = json!({"alg": "EdDSA", "kid": "ed"});
        let with = |change: fn(&mut Value)| {
            let mut payload = payload();
            change(&mut payload);
            reason(&sign(&ed25519(1), &header, &payload))
        };
        assert_eq!(with(|p| p["exp"] = json!(1_000)), "failed to verify jwt, it has expired");
        assert_eq!(with(|p| p["nbf"] = json!(1_061)), "failed to verify jwt, it is not valid yet");
        assert_eq!(with(|p| p["exp"] = Value::Null), "failed to verify jwt, nbf and exp are required");
        assert_eq!(with(|p| p["nbf"] = json!("700")), "JWT Token invalid");
    }

    #[test]
    fn a_name_that_could_break_a_line_is_not_verified() {
        let mut payload = payload();
        payload["user"]["username"] = json!("a\nb");
        payload["app"]["verified"] = json!(false);
        let facts =
            keys().verify_token(&sign(&ed25519(1), &json!({"alg": "EdDSA", "kid": "ed"}), &payload), 1_000).unwrap();
        assert!(!facts.user.unwrap().verified && !facts.app.unwrap().verified);
    }
}
