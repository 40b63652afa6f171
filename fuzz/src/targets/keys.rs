//! Keys, as an operator may hand them over. The first byte says what the rest is: `p` a public key in DER, `r` one of
//! RSA's own form, `t` text in the place of a public key, `s` a private key in DER, `u` text in its place, `e` changes to
//! a good private key, which is made here and lies in no corpus: pairs of a place and the byte to put there.
//!
//! Holds: what is no key is refused, and not printed; a public key that was taken believes no signature made of nothing; a
//! private key that was taken signs in its own algorithm.

use crate::drive::{End, Way, drive};
use crate::request::Pairs;
use crate::world::{BODY, CREDENTIALS, KID, PATH, document, gate, gate_with, own_credentials, pem};
use crate::{forwarded, refused, tokens};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::SigningKey as Ed25519;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use linkgate_gate::policy::Policy;
use linkgate_gate::{Keys, SigningKey};
use serde_json::{Value, json};

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    let text = || String::from_utf8_lossy(rest).into_owned();
    match what {
        b'p' => public(&pem("PUBLIC KEY", rest)),
        b'r' => public(&pem("RSA PUBLIC KEY", rest)),
        b't' => public(&text()),
        b's' => private(&STANDARD.encode(rest)),
        b'u' => private(&text()),
        b'e' => private(&STANDARD.encode(changed(rest))),
        _ => {}
    }
}

fn pairs(credentials: &str) -> Pairs<'_> {
    vec![
        (b":method", b"POST"),
        (b":path", PATH.as_bytes()),
        (b"content-type", b"application/json"),
        (b"x-bkapi-authorization", credentials.as_bytes()),
    ]
}

fn public(text: &str) {
    let mut document = document();
    document["identity"] = json!({"jwt_keys": [{"kid": KID, "public_key": text}], "inner_jwt_kid": KID});
    let Ok(policy) = Policy::from_value(&document) else { return };
    let gate = gate(policy);
    for (alg, size) in [("RS512", 256), ("RS512", 512), ("EdDSA", 64)] {
        let header = json!({"alg": alg, "kid": KID}).to_string();
        let parts = [header.as_bytes(), tokens::PAYLOAD.as_bytes()].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signature = URL_SAFE_NO_PAD.encode(vec![0xff; size]);
        let presented = json!({"inner_jwt": format!("{}.{}.{signature}", parts[0], parts[1])}).to_string();
        match drive(&gate, &pairs(&presented), Way::with(BODY.as_bytes()), &[]).0 {
            End::Forward(_) => panic!("a signature of nothing"),
            End::Refuse(refusal) => refused::check(&refusal, []),
        }
    }
}

fn changed(changes: &[u8]) -> Vec<u8> {
    let key = Ed25519::from_bytes(&[7; 32]).to_pkcs8_der().unwrap();
    let mut der = key.as_bytes().to_vec();
    assert!(SigningKey::parse(&STANDARD.encode(&der)).is_ok());
    for [at, byte] in changes.as_chunks().0 {
        let at = usize::from(*at) % der.len();
        der[at] = *byte;
    }
    der
}

fn private(text: &str) {
    let signing = match SigningKey::parse(text) {
        Ok(signing) => signing,
        Err(fault) => {
            let said = format!("{fault} {fault:?}");
            assert!(text.len() < 100 || !said.contains(text));
            return;
        }
    };
    assert_eq!(format!("{signing:?}"), "SigningKey(..)");
    let algorithm = signing.algorithm();
    let gate = gate_with(Policy::from_value(&document()).unwrap(), Keys { signing, own: own_credentials() });
    match drive(&gate, &pairs(CREDENTIALS), Way::with(BODY.as_bytes()), &[]).0 {
        End::Refuse(refusal) => assert_eq!(refusal.reply.status, 500),
        End::Forward(forward) => {
            forwarded::check_headers(&pairs(CREDENTIALS), &forward);
            let header = forward.set[1].1.split('.').next().unwrap();
            let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
            assert_eq!(header["alg"], algorithm);
        }
    }
}
