//! Why a caller is not authenticated, in words that callers match on.

use std::borrow::Cow;

use linkgate_contract::SignedNonce;

/// Why nobody could be authenticated; the texts are what callers match on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(pub Cow<'static, str>);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*
        }
    };
}

reasons! {
    /// More than one header.
    REPEATED = "request header X-Bkapi-Authorization must not be repeated";
    /// Not JSON, or JSON of no use.
    NOT_JSON = "request header X-Bkapi-Authorization is not a valid JSON";
    /// No app code.
    NO_APP_CODE = "app code cannot be empty";
    /// Credentials in a query that does not count.
    MISPLACED_IN_QUERY = "app code cannot be empty, credentials were found in the query, which is not allowed here, please use request header X-Bkapi-Authorization";
    /// Credentials in a body that does not count.
    MISPLACED_IN_BODY = "app code cannot be empty, credentials were found in the request body, which is not allowed here, please use request header X-Bkapi-Authorization";
    /// App code over 32 bytes.
    APP_CODE_TOO_LONG = "app code cannot be longer than 32 characters";
    /// App code that could break the path of a question.
    APP_CODE_INVALID = "app code contains invalid characters";
    /// Secret over 128 bytes.
    APP_SECRET_TOO_LONG = "app secret cannot be longer than 128 characters";
    /// A tenant's name that is none, or more than one.
    BAD_TENANT = "request header X-Bk-Tenant-Id must be given once, with 1 to 64 letters, digits, '-', '_' and '.'";
    /// No secret.
    NO_APP_SECRET = "please provide bk_app_secret or bk_signature to verify app";
    /// Nobody knows the app.
    APP_NOT_FOUND = "app not found";
    /// The app is known, the secret is another.
    WRONG_SECRET = "bk_app_code or bk_app_secret is incorrect";
    /// No user credential at all.
    NO_USER =
        "user authentication failed, please provide a valid user identity, such as bk_username, bk_token, access_token";
    /// A name and nothing that proves it.
    USER_NOT_VERIFIED = "user authentication failed, the user indicated by bk_username is not verified";
    /// A login token that nobody knows.
    BAD_TOKEN = "user authentication failed, bk_token is not valid";
    /// A login ticket that nobody knows.
    BAD_TICKET = "user authentication failed, bk_ticket is not valid";
    /// The policy names no service that knows access tokens.
    NO_ACCESS_TOKENS = "access_token is not supported here, use bk_app_secret with bk_token or bk_ticket";
    /// The policy names no gateway whose tokens count.
    NO_INNER_JWT = "inner_jwt is not supported here";
    /// The app's secrets are not known here, only their digests.
    UNSIGNED = "bk_signature is not supported here, please provide bk_app_secret";
    /// No secret of the app made the signature.
    BAD_SIGNATURE = "signature [bk_signature] verification failed, please provide valid bk_signature";
    /// A signature covers the body, and this one is not read before it goes on.
    STREAM_NOT_SIGNED = "bk_signature covers no streamed body, please provide bk_app_secret";
    /// A nonce serves once.
    REPLAYED = SignedNonce::USED.0;
    /// A signature serves for a while.
    TIMESTAMP_EXPIRED = SignedNonce::EXPIRED.0;
    /// More signed requests than can be remembered.
    TOO_MANY_SIGNED = "too many signed requests, please try again later";
    /// A credential that a service could stumble over.
    CONTROL_CHARACTERS = "a credential contains control characters";
    /// A token longer than any.
    TOO_LONG = "a credential is too long, the limit is 16384 characters, for bk_token and bk_ticket 2048";
}
