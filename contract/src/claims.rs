//! What the gate's token says, in the shape of BlueKing's gateway.

use serde::{Deserialize, Serialize};

/// The claims of `X-Bkapi-JWT`. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token; BlueKing's gateway writes `APIGW`.
    pub iss: String,
    /// Not valid before.
    pub nbf: i64,
    /// Not valid after.
    pub exp: i64,
    /// The calling application.
    pub app: AppClaim,
    /// The user on whose behalf it calls.
    pub user: UserClaim,
}

/// The calling application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Claims {
    /// `iss` of every token.
    pub const ISSUER: &'static str = "APIGW";

    /// A token for a verified application and user.
    #[must_use]
    pub fn verified(app_code: &str, username: &str, nbf: i64, exp: i64) -> Self {
        let app =
            AppClaim { version: 1, app_code: app_code.into(), verified: true, valid_error_message: String::new() };
        let user =
            UserClaim { version: 1, username: username.into(), verified: true, valid_error_message: String::new() };
        Self { iss: Self::ISSUER.into(), nbf, exp, app, user }
    }
}
