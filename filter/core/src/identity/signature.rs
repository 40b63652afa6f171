//! An app that signs its request instead of showing its secret, as BlueKing's clients do it.
//!
//! Signed with HMAC-SHA1 are method, path, `?` and the query sorted by name without the signature, with `data` as the body
//! of a POST; names and values stand there as they mean, not percent-encoded. Promises: a signature serves once with
//! one proxy, and for five minutes. Refuses what BlueKing lets pass: a nonce seen before, and a time stamp from the future, whose nonce
//! would have to be remembered for as long as the caller pleases.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
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

/// What was signed, and how. It may quote a body with secrets in it, so nothing prints it.
pub(crate) struct Signed {
    content: String,
    signature: String,
    nonce: String,
    timestamp: i64,
}

/// The parts of a request that are signed.
pub(crate) struct SignedParts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) body: &'a [u8],
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

impl Signed {
    /// Reads the signature and what it covers; the clock and the nonce's form are judged here.
    pub(crate) fn from_parts(parts: &SignedParts<'_>, now: i64) -> Result<Self, Reason> {
        let signature = signature_of(parts.query).ok_or(Reason::NO_APP_SECRET)?.to_owned();
        let nonce = read_nonce(first_value(parts.query, "bk_nonce"))?;
        let timestamp = read_timestamp(first_value(parts.query, "bk_timestamp"), now)?;
        let body = std::str::from_utf8(parts.body).map_err(|_| Reason::BAD_SIGNATURE)?;
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
        Ok(Self { content, signature, nonce, timestamp })
    }

    /// Whether one of the secrets made it; compared in constant time.
    pub(crate) fn is_made_with(&self, secrets: &[Secret]) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        secrets.iter().any(|secret| {
            let mac = Hmac::<Sha1>::new_from_slice(secret.reveal().as_bytes());
            mac.is_ok_and(|mac| mac.chain_update(self.content.as_bytes()).verify_slice(&signature).is_ok())
        })
    }

    /// Uses the nonce up, for every worker; the reason if somebody did so before.
    pub(crate) fn consume_nonce(
        &self,
        slots: Slots<'_>,
        app: &str,
        now: Time,
    ) -> Result<Result<(), Reason>, Unavailable> {
        let name = format!("{}:{app}:{}:{}", app.len(), self.nonce, self.timestamp);
        let (slot, tag) = slots.find_slot(&name, SLOTS);
        let now = u64::try_from(now.seconds()).unwrap_or_default();
        let until = u64::try_from(self.timestamp.saturating_add(MAX_AGE_S)).unwrap_or_default();
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
            (true, Ok(()))
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
        age if age > MAX_AGE_S => Err(Reason("parameter bk_timestamp has expired".into())),
        age if age < -MAX_CLOCK_SKEW_S => Err(Reason("parameter bk_timestamp is in the future".into())),
        _ => Ok(stamp),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::shared::fake::FakeShared;

    fn query(text: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    fn read(query_text: &str, body: &[u8]) -> Result<Signed, Reason> {
        let query = query(query_text);
        Signed::from_parts(&SignedParts { method: "POST", path: "/stag/x/", query: &query, body }, 1_000)
    }

    #[test]
    fn what_is_signed_is_sorted_and_decoded_with_the_body_among_it() {
        let signed =
            read("bk_timestamp=900&bk_nonce=7&z=1%202&data=no&a=&bk_signature=c2ln", br#"{"k": "v"}"#).unwrap();
        assert_eq!(signed.content, r#"POST/stag/x/?a=&bk_nonce=7&bk_timestamp=900&data={"k": "v"}&z=1 2"#);
    }

    #[test]
    fn a_request_without_a_body_signs_its_query_alone() {
        for method in ["GET", "DELETE"] {
            let query = query("bk_timestamp=900&data=mine&bk_nonce=7&bk_signature=c2ln");
            let signed =
                Signed::from_parts(&SignedParts { method, path: "/stag/x/", query: &query, body: b"" }, 1_000).unwrap();
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
        assert!(!read("bk_nonce=7&bk_timestamp=900&signature=%00", b"").unwrap().is_made_with(&secrets(&["secret"])));
    }

    #[test]
    fn nonce_and_time_are_judged_as_callers_know_it() {
        let reason = |text: &str| read(&format!("{text}&bk_signature=c2ln"), b"").err().map(|r| r.0.into_owned());
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
            read(&format!("{text}&bk_signature=c2ln"), b"")
                .unwrap()
                .consume_nonce(Slots { data: &data, salt: 0 }, app, Time::from_seconds(now))
                .unwrap()
        };
        assert_eq!(once("bk_nonce=7&bk_timestamp=900", "a", 1_000), Ok(()));
        assert_eq!(once("bk_nonce=7&bk_timestamp=900", "a", 1_001), Err(Reason::REPLAYED));
        assert_eq!(once("bk_nonce=007&bk_timestamp=900", "a", 1_001), Err(Reason::REPLAYED));
        assert_eq!(once("bk_nonce=7&bk_timestamp=900", "b", 1_000), Ok(()));
        assert_eq!(once("bk_nonce=7&bk_timestamp=901", "a", 1_000), Ok(()));
    }
}
