//! An app that signs its request instead of showing its secret, as BlueKing's clients do it.
//!
//! Signed with HMAC-SHA1 are method, path, `?` and the query sorted by name without the signature, with `data` as the body
//! of a POST; names and values stand there as they mean, not percent-encoded. Promises: a signature serves once with
//! one proxy, and for five minutes; where it may change something it serves once in all, because the store judges its nonce
//! again. Refuses what BlueKing lets pass: a nonce seen before, and a time stamp from the future, whose nonce
//! would have to be remembered for as long as the caller pleases.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use linkgate_contract::SignedNonce;
use sha1::Sha1;

use crate::reason::Reason;
use crate::secret::Secret;
use crate::shared::{Slots, Unavailable, read_entries, update, write_entries};
use crate::time::Time;

/// How old a signature may be, in seconds.
const MAX_AGE_S: i64 = 300;
/// How far in the future its time stamp may lie, for a caller whose clock is ahead.
const MAX_CLOCK_SKEW_S: i64 = 60;
/// Where nonces are remembered: 1024 slots of 256, enough for 800 signed requests a second.
const SLOTS: u64 = 1024;
const NONCES_PER_SLOT: usize = 256;
/// The length of an HMAC-SHA1.
const MAC_BYTES: usize = 20;

/// A signature as the query presents it: all of it that can be judged before the body is there.
#[derive(Debug)]
pub(crate) struct PresentedSignature {
    mac: [u8; MAC_BYTES],
    nonce: String,
    timestamp: i64,
}

/// What was signed, and how. It may quote a body with secrets in it, so nothing prints it.
pub(crate) struct Signed {
    content: String,
    presented: PresentedSignature,
}

/// The parts of a request that are signed.
#[derive(Clone, Copy)]
pub(crate) struct SignedParts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    /// Where the body goes on as it comes, a signature cannot cover it.
    pub(crate) is_streamed: bool,
    /// `None` as long as it is not there.
    pub(crate) body: Option<&'a [u8]>,
}

/// Whether a query carries a signature.
pub(crate) fn is_signed(query: &[(String, String)]) -> bool {
    signature_of(query).is_some()
}

fn first_value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn signature_of(query: &[(String, String)]) -> Option<&str> {
    let given = |name| first_value(query, name).filter(|value| !value.is_empty());
    given("bk_signature").or_else(|| given("signature"))
}

impl PresentedSignature {
    /// Reads nonce, time stamp and signature, and judges their form and the clock.
    pub(crate) fn from_query(query: &[(String, String)], now: i64) -> Result<Self, Reason> {
        let signature = signature_of(query).ok_or(Reason::NO_APP_SECRET)?;
        let nonce = read_nonce(first_value(query, "bk_nonce"))?;
        let timestamp = read_timestamp(first_value(query, "bk_timestamp"), now)?;
        let mac = STANDARD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self { mac: mac.ok_or(Reason::BAD_SIGNATURE)?, nonce, timestamp })
    }

    /// Puts what it has to cover beside it.
    pub(crate) fn over(self, parts: &SignedParts<'_>, body: &[u8]) -> Result<Signed, Reason> {
        let body = std::str::from_utf8(body).map_err(|_| Reason::BAD_SIGNATURE)?;
        let mut pairs: Vec<(&str, &str)> =
            parts.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.retain(|(name, _)| !matches!(*name, "bk_signature" | "signature"));
        if parts.method == "POST" {
            pairs.retain(|(name, _)| *name != "data");
            pairs.push(("data", body));
        }
        // Stable: several values of one name stay in their order.
        pairs.sort_by_key(|(name, _)| *name);
        let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let content = format!("{}{}?{}", parts.method, parts.path, query.join("&"));
        Ok(Signed { content, presented: self })
    }
}

impl Signed {
    /// Whether one of the secrets made it; compared in constant time.
    pub(crate) fn is_made_with(&self, secrets: &[Secret]) -> bool {
        secrets.iter().any(|secret| {
            let mac = Hmac::<Sha1>::new_from_slice(secret.reveal().as_bytes());
            mac.is_ok_and(|mac| mac.chain_update(self.content.as_bytes()).verify_slice(&self.presented.mac).is_ok())
        })
    }

    /// Uses the nonce up, for every worker; the reason if somebody did so before. What it gives is for the store to judge, which
    /// hears of those that other proxies took.
    #[cold]
    pub(crate) fn consume_nonce(
        &self,
        slots: Slots<'_>,
        app: &str,
        now: Time,
    ) -> Result<Result<SignedNonce, Reason>, Unavailable> {
        let PresentedSignature { nonce, timestamp, .. } = &self.presented;
        let name = format!("{}:{app}:{nonce}:{timestamp}", app.len());
        let (slot, tag) = slots.find_slot(&name, SLOTS);
        let now = u64::try_from(now.seconds()).unwrap_or_default();
        let last_second = timestamp.saturating_add(MAX_AGE_S);
        let until = u64::try_from(last_second).unwrap_or_default();
        let nonce = SignedNonce::new(app, nonce, *timestamp, last_second);
        update(slots, &format!("linkgate.nonce.{slot}"), |value| {
            let mut used = read_entries::<2>(value);
            used.retain(|[_, until]| *until >= now);
            if used.iter().any(|[of, _]| *of == tag) {
                return (false, Err(Reason::REPLAYED));
            }
            if used.len() >= NONCES_PER_SLOT {
                return (false, Err(Reason::TOO_MANY_SIGNED));
            }
            used.push([tag, until]);
            write_entries(&used, value);
            (true, Ok(nonce))
        })
    }
}

/// As Lua reads a number; the text itself is what counts later.
fn read_nonce(value: Option<&str>) -> Result<String, Reason> {
    let value = value.ok_or(Reason("parameter bk_nonce required".into()))?;
    let positive = value.len() <= 32 && value.parse::<u128>().is_ok_and(|number| number > 0);
    if !positive {
        return Err(Reason("parameter bk_nonce is invalid, it should be a positive integer".into()));
    }
    Ok(value.trim_start_matches(['+', '0']).to_owned())
}

fn read_timestamp(value: Option<&str>, now: i64) -> Result<i64, Reason> {
    let value = value.ok_or(Reason("parameter bk_timestamp required".into()))?;
    let stamp: i64 =
        value.parse().map_err(|_| Reason("parameter bk_timestamp is invalid, it should be in time format".into()))?;
    match now.saturating_sub(stamp) {
        age if age > MAX_AGE_S => Err(Reason::TIMESTAMP_EXPIRED),
        age if age < -MAX_CLOCK_SKEW_S => Err(Reason("parameter bk_timestamp is in the future".into())),
        _ => Ok(stamp),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shared::fake::FakeShared;

    /// Twenty bytes, in base64, as a query has it.
    const SOME_MAC: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA%3D";

    fn query(text: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    fn read(query_text: &str, body: &[u8]) -> Result<Signed, Reason> {
        read_of("POST", query_text, body)
    }

    fn read_of(method: &str, query_text: &str, body: &[u8]) -> Result<Signed, Reason> {
        let query = query(query_text);
        let parts = SignedParts { method, path: "/stag/x/", query: &query, is_streamed: false, body: Some(body) };
        PresentedSignature::from_query(&query, 1_000)?.over(&parts, body)
    }

    #[test]
    fn what_is_signed_is_sorted_and_decoded_with_the_body_among_it() {
        let signed =
            read(&format!("bk_timestamp=900&bk_nonce=7&z=1%202&data=no&a=&bk_signature={SOME_MAC}"), br#"{"k": "v"}"#)
                .unwrap();
        assert_eq!(signed.content, r#"POST/stag/x/?a=&bk_nonce=7&bk_timestamp=900&data={"k": "v"}&z=1 2"#);
    }

    #[test]
    fn a_request_without_a_body_signs_its_query_alone() {
        for method in ["GET", "DELETE"] {
            let text = format!("bk_timestamp=900&data=mine&bk_nonce=7&bk_signature={SOME_MAC}");
            let signed = read_of(method, &text, b"").unwrap();
            assert_eq!(signed.content, format!("{method}/stag/x/?bk_nonce=7&bk_timestamp=900&data=mine"));
        }
    }

    #[test]
    fn the_signature_is_that_of_the_published_clients() {
        // printf '%s' 'POST/stag/x/?bk_nonce=7&bk_timestamp=900&data={}' | openssl dgst -sha1 -hmac secret -binary | base64
        let text = "bk_nonce=7&bk_timestamp=900&signature=DPYAecwHaflo3H9HzR%2Bu1mrQK7M%3D";
        let signed = read(text, b"{}").unwrap();
        let secrets = |list: &[&str]| list.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>();
        assert!(signed.is_made_with(&secrets(&["old", "secret"])));
        assert!(!signed.is_made_with(&secrets(&["Secret"])) && !signed.is_made_with(&[]));
        assert!(!read(text, b"{ }").unwrap().is_made_with(&secrets(&["secret"])));
    }

    #[test]
    fn what_is_no_mac_by_its_form_is_refused_before_the_body() {
        let presented = |signature: &str| {
            PresentedSignature::from_query(
                &query(&format!("bk_nonce=7&bk_timestamp=900&bk_signature={signature}")),
                1_000,
            )
            .map(drop)
        };
        assert_eq!(presented(SOME_MAC), Ok(()));
        let (short, long, bare) = ("A".repeat(26) + "%3D%3D", "A".repeat(28), "A".repeat(27));
        for bad in ["%00", "c2ln", "*", &short, &long, &bare, &SOME_MAC.repeat(2), &"A".repeat(4_000)] {
            assert_eq!(presented(bad), Err(Reason::BAD_SIGNATURE), "{bad}");
        }
    }

    #[test]
    fn nonce_and_time_are_judged_as_callers_know_it() {
        let reason = |text: &str| read(&format!("{text}&bk_signature={SOME_MAC}"), b"").err().map(|r| r.0.into_owned());
        assert_eq!(reason("bk_nonce=1&bk_timestamp=700"), None);
        assert_eq!(reason("bk_nonce=1&bk_timestamp=1060"), None);
        assert_eq!(reason("bk_timestamp=900").unwrap(), "parameter bk_nonce required");
        for bad in ["0", "-1", "x", "", "1.5"] {
            let want = "parameter bk_nonce is invalid, it should be a positive integer";
            assert_eq!(reason(&format!("bk_nonce={bad}&bk_timestamp=900")).unwrap(), want, "{bad}");
        }
        assert_eq!(reason("bk_nonce=1").unwrap(), "parameter bk_timestamp required");
        assert_eq!(reason("bk_nonce=1&bk_timestamp=699").unwrap(), "parameter bk_timestamp has expired");
        assert_eq!(reason("bk_nonce=1&bk_timestamp=1061").unwrap(), "parameter bk_timestamp is in the future");
        let want = "parameter bk_timestamp is invalid, it should be in time format";
        assert_eq!(reason("bk_nonce=1&bk_timestamp=noon").unwrap(), want);
    }

    #[test]
    fn a_nonce_serves_once_for_each_app() {
        let data = Rc::new(FakeShared::default());
        let once = |text: &str, app: &str, now: u64| {
            read(&format!("{text}&bk_signature={SOME_MAC}"), b"")
                .unwrap()
                .consume_nonce(Slots { data: &data, salt: 0 }, app, Time::from_seconds(now))
                .unwrap()
        };
        let nonce = |app: &str, timestamp| Ok(SignedNonce::new(app, "7", timestamp, timestamp + 300));
        assert_eq!(once("bk_nonce=7&bk_timestamp=900", "a", 1_000), nonce("a", 900));
        assert_eq!(once("bk_nonce=7&bk_timestamp=900", "a", 1_001), Err(Reason::REPLAYED));
        assert_eq!(once("bk_nonce=007&bk_timestamp=900", "a", 1_001), Err(Reason::REPLAYED));
        assert_eq!(once("bk_nonce=7&bk_timestamp=900", "b", 1_000), nonce("b", 900));
        assert_eq!(once("bk_nonce=07&bk_timestamp=901", "a", 1_000), nonce("a", 901));
    }
}
