//! Signs requests with the application's secret, so that the secret itself is not sent (docs/API.md, "A signed
//! request").

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha1::Sha1;

use crate::error::Error;

/// What of a request is signed.
pub(crate) struct SignedParts<'a> {
    pub(crate) method: &'a str,
    /// As it is sent, with its prefix.
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    /// Counts for `POST` only.
    pub(crate) body: &'a [u8],
}

/// The parameters that go into the query of a request to sign it now. A signature serves once, so a repetition needs
/// another.
pub(crate) fn sign(parts: &SignedParts<'_>, secret: &SecretString) -> Result<Vec<(String, String)>, Error> {
    let nonce = getrandom::u64().map_err(|error| Error::Setting(format!("no random numbers: {error}")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    sign_at(parts, nonce.max(1), now, secret)
}

fn sign_at(
    parts: &SignedParts<'_>,
    nonce: u64,
    now: u64,
    secret: &SecretString,
) -> Result<Vec<(String, String)>, Error> {
    let mut added = vec![("bk_nonce".to_owned(), nonce.to_string()), ("bk_timestamp".to_owned(), now.to_string())];
    let content = content(parts, &added)?;
    let mac = Hmac::<Sha1>::new_from_slice(secret.expose_secret().as_bytes())
        .map_err(|_| Error::Setting("the secret cannot sign".to_owned()))?;
    let tag = mac.chain_update(content.as_bytes()).finalize().into_bytes();
    added.push(("bk_signature".to_owned(), STANDARD.encode(tag)));
    Ok(added)
}

/// The text that is signed: names and values as they mean, sorted by name, with the body of a `POST` among them.
fn content(parts: &SignedParts<'_>, added: &[(String, String)]) -> Result<String, Error> {
    let body = std::str::from_utf8(parts.body).map_err(|_| Error::CannotSignFile)?;
    let pairs = parts.query.iter().chain(added).map(|(name, value)| (name.as_str(), value.as_str()));
    let mut pairs: Vec<(&str, &str)> = pairs.collect();
    if parts.method == "POST" {
        pairs.retain(|(name, _)| *name != "data");
        pairs.push(("data", body));
    }
    pairs.sort_by_key(|(name, _)| *name);
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(format!("{}{}?{}", parts.method, parts.path, pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(method: &str, query: &[(&str, &str)], body: &str) -> (String, String) {
        let query: Vec<_> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let path = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
        let parts = SignedParts { method, path, query: &query, body: body.as_bytes() };
        let added = sign_at(&parts, 86_953, 1_795_341_600, &"s3cret".into()).unwrap();
        (content(&parts, &added[..2]).unwrap(), added[2].1.clone())
    }

    #[test]
    fn the_example_of_the_api_document_has_its_signature() {
        let body = r#"{"package_url": "https://example.com/generic/example.tar.gz", "version": "0.0.5"}"#;
        let (content, signature) = signed("POST", &[], body);
        let query = format!("?bk_nonce=86953&bk_timestamp=1795341600&data={body}");
        assert!(content.starts_with("POST/stag/bkapps/") && content.ends_with(&query), "{content}");
        assert_eq!(signature, "D791/BDTHyHoEwVQF38/loAGf88=");
    }

    #[test]
    fn only_a_post_signs_its_body_and_every_query_is_sorted() {
        let (content, _) = signed("PUT", &[("z", "1 2"), ("a", "")], "ignored");
        assert!(content.ends_with("/link/?a=&bk_nonce=86953&bk_timestamp=1795341600&z=1 2"), "{content}");
        let (content, _) = signed("POST", &[("data", "mine")], "{}");
        assert!(content.ends_with("bk_timestamp=1795341600&data={}"), "{content}");
    }

    #[test]
    fn no_two_signatures_have_one_nonce() {
        let parts = SignedParts { method: "GET", path: "/", query: &[], body: b"" };
        let nonce = || sign(&parts, &"s".into()).unwrap()[0].1.clone();
        assert_ne!(nonce(), nonce());
    }
}
