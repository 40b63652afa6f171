//! Signed URLs: links of the store by which whoever has one downloads one package, for a while.
//!
//! Promises: nothing that a link says is believed before its signature was checked with a key of the policy; a link serves
//! one path, until one second, from the addresses that it names. Refuses without asking anybody, and does not say what of a
//! link is wrong: its end alone is told, for whoever has a good link may know that it was one. Signatures cost the time that
//! the worker gives to strangers, and no more.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::IpNet;
use linkgate_contract::{ErrorCode, Problem, SIGNED_URL_PARAMETER, SignedUrlClaims, SignedUrlHeader};
use serde_json::Value;

use crate::denied::{DenialReason, Denied};
use crate::keys::PublicKey;
use crate::reply::GatewayError;

/// The rule's name.
const RULE: &str = "signed_urls";
/// The name where there was no time to verify one.
pub(crate) const UNVERIFIED: &str = "signed_urls.unverified";

/// A key of a store, and its name.
#[derive(Debug)]
pub(crate) struct UrlKey {
    pub(crate) id: String,
    pub(crate) key: PublicKey,
}

/// Every key of a policy.
#[derive(Debug, Default)]
pub(crate) struct UrlKeys(pub(crate) Vec<UrlKey>);

/// Whether a request target may have the token of a link in its query. Cheap, and nothing is decided by it.
pub(crate) fn may_be_signed(target: &str) -> bool {
    target.split_once('?').is_some_and(|(_, query)| query.contains(SIGNED_URL_PARAMETER))
}

/// Why a link does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkError {
    /// It is not for this request, or for nobody.
    Refused(ErrorCode),
    /// Nobody knows yet: links come faster than they may be verified.
    TooMany,
}

impl From<LinkError> for Denied {
    fn from(error: LinkError) -> Self {
        let (rule, reason) = match error {
            LinkError::Refused(code) => (RULE, DenialReason::Request(Problem::new(code))),
            LinkError::TooMany => (UNVERIFIED, DenialReason::Gateway(GatewayError::RateLimited { retry_after_s: 1 })),
        };
        Self { rule: rule.to_owned(), report_only: false, reason }
    }
}

impl UrlKeys {
    /// What a token says of a download of this path, by whoever has this address. `spend` is asked for the time of a signature
    /// before one is verified.
    pub(crate) fn verify(
        &self,
        token: &str,
        path: &str,
        client_ip: Option<IpAddr>,
        now: i64,
        spend: impl FnOnce(u32) -> bool,
    ) -> Result<SignedUrlClaims, LinkError> {
        let invalid = LinkError::Refused(ErrorCode::SignatureInvalid);
        let signed = self.read_token(token).ok_or(invalid)?;
        if !spend(signed.key.work_us()) {
            return Err(LinkError::TooMany);
        }
        let claims = signed.verify().ok_or(invalid)?;
        if claims.path != path || !is_from_one_of(&claims.client_ips, client_ip) {
            return Err(invalid);
        }
        if now >= claims.exp { Err(LinkError::Refused(ErrorCode::SignatureExpired)) } else { Ok(claims) }
    }

    /// A token that names a key of the policy.
    fn read_token<'a>(&'a self, token: &'a str) -> Option<SignedToken<'a>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = read_part(header)?;
        let kid = SignedUrlHeader::read_kid(&header)?;
        let known = self.0.iter().find(|known| known.id == kid)?;
        Some(SignedToken { key: &known.key, signed, claims, signature: URL_SAFE_NO_PAD.decode(signature).ok()? })
    }
}

/// A token of which nothing is verified.
struct SignedToken<'a> {
    key: &'a PublicKey,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl SignedToken<'_> {
    fn verify(&self) -> Option<SignedUrlClaims> {
        let is_signed = self.key.verifies(self.signed.as_bytes(), &self.signature);
        SignedUrlClaims::read(&read_part(self.claims).filter(|_| is_signed)?)
    }
}

fn read_part(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// An address that is not known is on no list, and neither is anything on an entry that nobody can read.
fn is_from_one_of(networks: &[String], client_ip: Option<IpAddr>) -> bool {
    let address = client_ip.map(|address| address.to_canonical());
    let has = |network: &String, address: &IpAddr| match network.parse::<IpNet>() {
        Ok(network) => network.contains(address),
        Err(_) => network.parse() == Ok(*address),
    };
    networks.is_empty() || address.is_some_and(|address| networks.iter().any(|network| has(network, &address)))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::keys::{SigningKey, testing::Pair};

    /// The token of these claims.
    pub(crate) fn sign(pair: &Pair, header: &SignedUrlHeader, claims: &SignedUrlClaims) -> String {
        let part = |json: String| URL_SAFE_NO_PAD.encode(json);
        let header = part(serde_json::to_string(header).unwrap());
        let signed = format!("{header}.{}", part(serde_json::to_string(claims).unwrap()));
        let signature = SigningKey::parse(&pair.private).unwrap().sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The name of its key.
    pub(crate) fn id(pair: &Pair) -> String {
        PublicKey::parse(&pair.public).unwrap().ed25519_id().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use linkgate_contract::Sha256;

    use super::testing::{id, sign};
    use super::*;
    use crate::keys::testing::{Pair, ed25519};

    const PATH: &str = "/bkapps/applications/a/modules/default/source_package/7/download/";

    fn keys() -> UrlKeys {
        let key = |pair: &Pair| UrlKey { id: id(pair), key: PublicKey::parse(&pair.public).unwrap() };
        UrlKeys(vec![key(&ed25519(1)), key(&ed25519(2))])
    }

    fn claims() -> SignedUrlClaims {
        SignedUrlClaims {
            iat: 0,
            exp: 1_000,
            path: PATH.into(),
            sha256: Sha256::from_bytes([7; 32]),
            app: "ci".into(),
            user: "anna".into(),
            tenant: None,
            client_ips: Vec::new(),
        }
    }

    fn token(seed: u8, claims: &SignedUrlClaims) -> String {
        sign(&ed25519(seed), &SignedUrlHeader::new(id(&ed25519(seed))), claims)
    }

    const INVALID: LinkError = LinkError::Refused(ErrorCode::SignatureInvalid);

    fn verify(token: &str) -> Result<SignedUrlClaims, LinkError> {
        keys().verify(token, PATH, None, 999, |_| true)
    }

    #[test]
    fn a_link_of_any_key_of_the_policy_is_good_until_its_end() {
        for seed in [1, 2] {
            assert_eq!(verify(&token(seed, &claims())), Ok(claims()));
            let late = keys().verify(&token(seed, &claims()), PATH, None, 1_000, |_| true);
            assert_eq!(late, Err(LinkError::Refused(ErrorCode::SignatureExpired)));
        }
    }

    #[test]
    fn a_link_that_was_not_made_so_is_not_valid() {
        let good = token(1, &claims());
        let (signed, _) = good.rsplit_once('.').unwrap();
        let forged = |change: fn(&mut SignedUrlHeader)| {
            let mut header = SignedUrlHeader::new(id(&ed25519(1)));
            change(&mut header);
            sign(&ed25519(1), &header, &claims())
        };
        let bad = [
            token(3, &claims()),
            sign(&ed25519(3), &SignedUrlHeader::new(id(&ed25519(1))), &claims()),
            forged(|header| header.alg = "none".into()),
            forged(|header| header.typ = "JWT".into()),
            forged(|header| header.kid = String::new()),
            format!("{signed}."),
            signed.to_owned(),
            good.replacen('.', "..", 1),
            format!("{good}A"),
            String::new(),
            ".".into(),
            "..".into(),
            "a.b.c".into(),
        ];
        for token in bad {
            assert_eq!(verify(&token), Err(INVALID), "{token}");
        }
        let changed = token(1, &SignedUrlClaims { exp: i64::MAX, ..claims() });
        let (_, other) = changed.split_once('.').unwrap();
        let spliced =
            format!("{}.{}", signed.split('.').next().unwrap(), other.replace(other.rsplit('.').next().unwrap(), ""));
        assert_eq!(verify(&spliced), Err(INVALID));
        assert_eq!(UrlKeys::default().verify(&good, PATH, None, 0, |_| true), Err(INVALID));
    }

    #[test]
    fn a_signature_is_verified_only_where_there_is_time_and_a_key() {
        let verify = |token: &str, has_time: bool| {
            let mut asked = Vec::new();
            let spend = |work_us| {
                asked.push(work_us);
                has_time
            };
            let verified = keys().verify(token, PATH, None, 0, spend);
            (verified.map(|_| ()), asked.len())
        };
        let forged = sign(&ed25519(3), &SignedUrlHeader::new(id(&ed25519(1))), &claims());
        assert_eq!(verify(&token(1, &claims()), true), (Ok(()), 1));
        assert_eq!(verify(&token(1, &claims()), false), (Err(LinkError::TooMany), 1));
        assert_eq!(verify(&forged, false), (Err(LinkError::TooMany), 1), "a forged one is not told from a good one");
        assert_eq!(verify(&forged, true), (Err(INVALID), 1));
        for no_key in [token(3, &claims()), "a.b.c".to_owned()] {
            assert_eq!(verify(&no_key, false), (Err(INVALID), 0), "{no_key}");
        }
    }

    #[test]
    fn a_link_serves_its_own_path_alone() {
        let good = token(1, &claims());
        for path in [PATH.replace('7', "8"), PATH.replace("default", "other"), String::new()] {
            assert_eq!(keys().verify(&good, &path, None, 0, |_| true), Err(INVALID), "{path}");
        }
        assert_eq!(keys().verify(&good, "/other", None, 2_000, |_| true), Err(INVALID), "its end says nothing");
    }

    #[test]
    fn a_link_that_is_bound_serves_its_addresses_alone() {
        let networks = ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "nonsense"].map(str::to_owned).to_vec();
        let bound = token(1, &SignedUrlClaims { client_ips: networks, ..claims() });
        let from = |text: &str| keys().verify(&bound, PATH, Some(text.parse().unwrap()), 0, |_| true).is_ok();
        for good in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "fd00::1"] {
            assert!(from(good), "{good}");
        }
        for bad in ["11.0.0.1", "192.0.2.2", "2001:db8::1"] {
            assert!(!from(bad), "{bad}");
        }
        assert!(keys().verify(&bound, PATH, None, 0, |_| true).is_err(), "an address that is not known");
    }

    #[test]
    fn a_target_without_the_parameter_is_none() {
        assert!(may_be_signed("/p/?lg_token=x") && may_be_signed("/p/?a=1&lg_token"));
        assert!(!may_be_signed("/p/") && !may_be_signed("/lg_token/?a=1") && !may_be_signed("/p/?"));
    }
}
