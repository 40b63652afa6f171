//! What the gate's token says, in the shape of BlueKing's gateway.

use serde::{Deserialize, Serialize};

/// The claims of `X-Bkapi-JWT`. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token; BlueKing's gateway writes `APIGW`, others what they like.
    pub iss: String,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid after.
    pub exp: i64,
    /// The calling application.
    pub app: AppClaim,
    /// The user on whose behalf it calls.
    pub user: UserClaim,
    /// What only our gate says.
    #[serde(default, skip_serializing_if = "Extension::is_empty")]
    pub linkgate: Extension,
}

/// What the gate adds to BlueKing's claims; absent in the tokens of other gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extension {
    /// Whether the gate lets this user call through an application that is not verified.
    #[serde(default, skip_serializing_if = "is_false")]
    pub app_optional: bool,
    /// Whether the gate lets this application call without a user.
    #[serde(default, skip_serializing_if = "is_false")]
    pub user_optional: bool,
    /// `host` or `host:port` entries that may have addresses which are not public, for this request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_hosts: Vec<String>,
    /// Whether the package may be a file that is no archive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub opaque: bool,
}

impl Extension {
    /// More private hosts than any policy needs make a token that is not believed.
    pub const MAX_PRIVATE_HOSTS: usize = 64;

    /// Whether it says nothing, so that the token is one of BlueKing's.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Serde hands fields over by reference.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The calling application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppClaim {
    /// Version of this claim's shape.
    pub version: u8,
    /// Its code.
    pub app_code: String,
    /// Whether its secret was checked.
    pub verified: bool,
    /// Why it was not, else empty.
    #[serde(default)]
    pub valid_error_message: String,
}

/// The user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserClaim {
    /// Version of this claim's shape.
    pub version: u8,
    /// The name.
    pub username: String,
    /// Whether the user's login was checked.
    pub verified: bool,
    /// Why it was not, else empty.
    #[serde(default)]
    pub valid_error_message: String,
}

/// Of the claims on the application and on the user, whichever gateway wrote them.
const CLAIM_VERSION: u8 = 1;

impl AppClaim {
    /// An application whose secret was checked.
    #[must_use]
    pub fn verified(app_code: impl Into<String>) -> Self {
        let valid_error_message = String::new();
        Self { version: CLAIM_VERSION, app_code: app_code.into(), verified: true, valid_error_message }
    }

    /// An application that only gave its name, and why that is all.
    #[must_use]
    pub fn unverified(app_code: impl Into<String>, reason: impl Into<String>) -> Self {
        let valid_error_message = reason.into();
        Self { version: CLAIM_VERSION, app_code: app_code.into(), verified: false, valid_error_message }
    }

    /// The code, if it was verified; else empty, like that of no application.
    #[must_use]
    pub fn verified_code(&self) -> &str {
        if self.verified { &self.app_code } else { "" }
    }
}

impl UserClaim {
    /// A user whose login was checked.
    #[must_use]
    pub fn verified(username: impl Into<String>) -> Self {
        let valid_error_message = String::new();
        Self { version: CLAIM_VERSION, username: username.into(), verified: true, valid_error_message }
    }

    /// A user who is only named, or not even that, and why.
    #[must_use]
    pub fn unverified(username: impl Into<String>, reason: impl Into<String>) -> Self {
        let valid_error_message = reason.into();
        Self { version: CLAIM_VERSION, username: username.into(), verified: false, valid_error_message }
    }
}

impl Claims {
    /// `iss` of the tokens of BlueKing's gateway, and of ours.
    pub const ISSUER: &'static str = "APIGW";

    /// A token of ours that says no more than BlueKing's does.
    #[must_use]
    pub fn new(app: AppClaim, user: UserClaim, nbf: i64, exp: i64) -> Self {
        Self { iss: Self::ISSUER.into(), nbf, exp, app, user, linkgate: Extension::default() }
    }

    /// A token for a verified application and user.
    #[must_use]
    pub fn verified(app_code: &str, username: &str, nbf: i64, exp: i64) -> Self {
        Self::new(AppClaim::verified(app_code), UserClaim::verified(username), nbf, exp)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn blueking() -> Value {
        json!({
            "iss": "APIGW",
            "nbf": 1,
            "exp": 2,
            "app": {"version": 1, "app_code": "app", "verified": true, "valid_error_message": ""},
            "user": {"version": 1, "username": "", "verified": false, "valid_error_message": "no user"},
        })
    }

    #[test]
    fn a_token_without_the_extension_is_one_of_bluekings() {
        let claims = Claims::new(AppClaim::verified("app"), UserClaim::unverified("", "no user"), 1, 2);
        assert_eq!(serde_json::to_value(&claims).unwrap(), blueking());
        assert_eq!(serde_json::from_value::<Claims>(blueking()).unwrap(), claims);
    }

    #[test]
    fn the_extension_says_only_what_is_there() {
        let mut claims = Claims::verified("app", "admin", 1, 2);
        claims.linkgate.user_optional = true;
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"user_optional": true}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
        claims.linkgate = Extension { private_hosts: vec!["10.0.0.1:8080".into()], ..Extension::default() };
        let written = serde_json::to_value(&claims).unwrap();
        assert_eq!(written["linkgate"], json!({"private_hosts": ["10.0.0.1:8080"]}));
        assert_eq!(serde_json::from_value::<Claims>(written).unwrap(), claims);
    }

    #[test]
    fn a_gateway_may_have_another_name_and_say_more() {
        let mut token = blueking();
        token["iss"] = "another".into();
        token["iat"] = 1.into();
        token["linkgate"] = json!({"later": 1});
        let claims: Claims = serde_json::from_value(token).unwrap();
        assert_eq!((claims.iss.as_str(), claims.linkgate.is_empty()), ("another", true));
    }
}
