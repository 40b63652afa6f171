//! Why a caller is not authenticated, in words that callers match on.
//!
//! `cargo xtask docs` copies the comments of the table into docs/reference/REASONS.md, and these, of words that are put together
//! elsewhere:
//!
//! - `parameter bk_nonce required`, `parameter bk_timestamp required`: A signature without one of them. Add it to the
//!   query.
//! - `parameter bk_nonce is invalid, it should be a positive integer`: No such number, or over 32 digits. Correct it.
//! - `parameter bk_timestamp is invalid, it should be in time format`: No whole number. Give seconds since 1970.
//! - `parameter bk_timestamp has expired`, `parameter bk_timestamp is in the future`: Over 300 seconds behind the
//!   gate's clock, or over 60 ahead of it. Set the clock; sign each request anew.
//! - `parameter bk_nonce has been used before`: The signature was seen already, by this Envoy or, where the request
//!   may change something, by another one: then the store says so. Sign each attempt anew, with another nonce.
//! - `access_token cannot be empty`: A `jwt` without `access_token`. Add it.
//! - `access_token has expired`, `the access_token of the user(…) has expired, please re-authorize`: Its life is
//!   over. Get a new one.
//! - `the access_token is the application type and cannot indicate the user`: The token is the application's own.
//!   Take one that was made for a user.
//! - `bkauth error message: …`: Bkauth refused the token; its own words follow, or `code:` and its number. See its
//!   words.
//! - `invalid kid, only … is supported`: An `inner_jwt` of another gateway. Use that gateway.
//! - `parameter jwt is invalid: JWT Token invalid`: A `jwt` or `inner_jwt` that cannot be read. Send all three parts.
//! - `parameter jwt is invalid: missing kid in JWT token`: It does not say who signed it.
//! - `parameter jwt is invalid: critical extensions are not supported`: It has `crit`.
//! - `parameter jwt is invalid: failed to get public_key of its gateway`: The policy has no key for its `kid`. The
//!   operator adds the key.
//! - `parameter jwt is invalid: failed to verify jwt, signature mismatch`: No key of its `kid` and algorithm made the
//!   signature. The operator compares the keys.
//! - `parameter jwt is invalid: failed to verify jwt, nbf and exp are required`: One is missing.
//! - `parameter jwt is invalid: failed to verify jwt, it is not valid yet`: `nbf` is over 60 seconds ahead. Compare
//!   the clocks.
//! - `parameter jwt is invalid: failed to verify jwt, it has expired`: `exp` is over. Get a new one.
//! - `parameter jwt does not indicate … information`: It names none.
//! - `the … indicated by jwt is not verified`: The other gateway did not verify it, or the name is blank, over 256
//!   bytes or has control characters.
//! - `bk_token is not valid`: Nobody's token. Log in again.

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
    /// More than one such header. Send one; look for a proxy that adds its own.
    REPEATED = "request header X-Bkapi-Authorization must not be repeated";
    /// Not JSON, or a string, a number, a boolean or `null`. Mind the shell's quotes.
    NOT_JSON = "request header X-Bkapi-Authorization is not a valid JSON";
    /// Header missing, empty, `{}` or an array; or no application code in it, in the query or in the body, whichever
    /// counts. Add `bk_app_code`.
    NO_APP_CODE = "app code cannot be empty";
    /// The same of credentials in the query.
    MISPLACED_IN_QUERY = "app code cannot be empty, credentials were found in the query, which is not allowed here, please use request header X-Bkapi-Authorization";
    /// No header, and the stage does not list that place. Use the header, or ask the operator to list the place in
    /// `credentials_from`.
    MISPLACED_IN_BODY = "app code cannot be empty, credentials were found in the request body, which is not allowed here, please use request header X-Bkapi-Authorization";
    /// The code is too long. Correct it.
    APP_CODE_TOO_LONG = "app code cannot be longer than 32 characters";
    /// Something beside visible ASCII, or one of `<>/?#%\`. Correct it.
    APP_CODE_INVALID = "app code contains invalid characters";
    /// The secret is too long. Correct it.
    APP_SECRET_TOO_LONG = "app secret cannot be longer than 128 characters";
    /// A tenant's name that is none, or more than one. Name the tenant once.
    BAD_TENANT = "request header X-Bk-Tenant-Id must be given once, with 1 to 64 letters, digits, '-', '_' and '.'";
    /// Neither secret nor signature. Add one.
    NO_APP_SECRET = "please provide bk_app_secret or bk_signature to verify app";
    /// Neither the policy nor bkauth knows the application, or it has no secret that is enabled. bkauth is asked only
    /// about lower-case letters, digits, `-` and `_`. Correct the code, or have the application registered.
    APP_NOT_FOUND = "app not found";
    /// The secret is another application's, or old. Take the current secret; if the gate refused it before it became
    /// valid, wait a minute.
    WRONG_SECRET = "bk_app_code or bk_app_secret is incorrect";
    /// No credential of a user. Add one.
    NO_USER =
        "user authentication failed, please provide a valid user identity, such as bk_username, bk_token, access_token";
    /// Only a name. Add a credential.
    USER_NOT_VERIFIED = "user authentication failed, the user indicated by bk_username is not verified";
    /// Nobody's token. Log in again.
    BAD_TOKEN = "user authentication failed, bk_token is not valid";
    /// Nobody's ticket. Log in again.
    BAD_TICKET = "user authentication failed, bk_ticket is not valid";
    /// The policy names no bkauth. Use those.
    NO_ACCESS_TOKENS = "access_token is not supported here, use bk_app_secret with bk_token or bk_ticket";
    /// The policy trusts no gateway with this. Use another credential.
    NO_INNER_JWT = "inner_jwt is not supported here";
    /// The policy names no bkauth, or lists the application itself, with digests that no signature can be checked by.
    /// Present the secret.
    UNSIGNED = "bk_signature is not supported here, please provide bk_app_secret";
    /// No secret of the application makes this signature of this request. Compare the content with docs/API.md.
    BAD_SIGNATURE = "signature [bk_signature] verification failed, please provide valid bk_signature";
    /// A signature of a request whose body the gate passes on while it comes. Present the secret.
    STREAM_NOT_SIGNED = "bk_signature covers no streamed body, please provide bk_app_secret";
    /// A nonce serves once.
    REPLAYED = SignedNonce::USED.0;
    /// A signature serves for a while.
    TIMESTAMP_EXPIRED = SignedNonce::EXPIRED.0;
    /// No space to store another nonce: over 800 signed requests in a second. Try again.
    TOO_MANY_SIGNED = "too many signed requests, please try again later";
    /// A secret, token or ticket with a line break or the like. Send the credential alone.
    CONTROL_CHARACTERS = "a credential contains control characters";
    /// A token or ticket that no service makes. Send the token itself.
    TOO_LONG = "a credential is too long, the limit is 16384 characters, for bk_token and bk_ticket 2048";
}
