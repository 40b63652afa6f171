//! A gateway that signs with RSA, as BlueKing's own gateways do: its tokens have their form, and the store takes them.

use std::process::{Command, Stdio};

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use linkgate_tests::gateway::{APP, GatewayPlan, USER};
use linkgate_tests::token::{RsaMint, now_s};
use serde_json::{Value, json};

use crate::recorder::Recorder;
use crate::replies::{NO_USER, WholeStack, authorized, stranger};

/// A key as an operator makes one: private and public half.
fn openssl_key(dir: &std::path::Path) -> (String, std::path::PathBuf) {
    let (private, public) = (dir.join("private.pem"), dir.join("public.pem"));
    let openssl = |args: &[&std::ffi::OsStr]| {
        let run = Command::new("openssl").args(args).stderr(Stdio::null()).status();
        assert!(run.expect("openssl makes the key").success());
    };
    let made = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"].map(std::ffi::OsStr::new);
    openssl(&[&made[..], &[private.as_os_str()]].concat());
    let halves = ["pkey", "-pubout", "-in"].map(std::ffi::OsStr::new);
    openssl(&[&halves[..], &[private.as_os_str(), "-out".as_ref(), public.as_os_str()]].concat());
    (std::fs::read_to_string(private).unwrap(), public)
}

#[tokio::test]
async fn the_store_takes_what_a_gateway_with_an_rsa_key_signs() {
    let dir = tempfile::tempdir().unwrap();
    let (private, public) = openssl_key(dir.path());
    let plan = GatewayPlan::new().env("LINKGATE_JWT_PRIVATE_KEY", &private);
    let keys = format!("linkgate={}", public.display());
    let stack = WholeStack::planned(plan, &[("LINKGATE_JWT_PUBLIC_KEYS", &keys)], &[]).await;
    for version in ["1", "2", "3"] {
        let reply = stack.send(stack.request(stack.source().url()).version(version)).await;
        assert_eq!((reply.status, reply.json()["operator"].as_str()), (200, Some(USER)), "{reply:?}");
    }
    assert_eq!(stack.rows().await.len(), 3);
    // Another key of the same name is not the gateway's: the store refuses, and keeps nothing more.
    let data = tempfile::tempdir().unwrap();
    let (other, path) = (RsaMint::new(), dir.path().join("other.pem"));
    std::fs::write(&path, other.public_pem()).unwrap();
    let keys = format!("linkgate={}", path.display());
    let store = linkgate_tests::StoreProcess::start(data.path(), &[("LINKGATE_JWT_PUBLIC_KEYS", &keys)]);
    let plan = GatewayPlan::new().env("LINKGATE_JWT_PRIVATE_KEY", &private);
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    let gateway = plan.start(store.base().trim_start_matches("http://").parse().unwrap()).await;
    let reply = authorized(stranger("https://example.com/a.tgz"), gateway.credentials()).send(gateway.base()).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    store.directory().assert_empty().await;
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[tokio::test]
async fn its_tokens_are_those_of_bluekings_gateway() {
    let (recorder, mint) = (Recorder::start().await, RsaMint::new());
    let plan = GatewayPlan::new().env("LINKGATE_JWT_PRIVATE_KEY", &mint.private_pem());
    let mut policy = plan.credentials().policy(&["example.com".to_owned()]);
    policy["routes"]["authentication"] = json!({"verified_user_exempted_apps": [APP]});
    plan.deploy(&policy);
    let gateway = plan.start(recorder.address()).await;
    let alone = json!({"bk_app_code": APP, "bk_app_secret": gateway.credentials().secret}).to_string();
    let link = || stranger("https://example.com/a.tgz");
    let user = |name: &str, verified: bool, error: &str| json!({"version": 1, "username": name, "verified": verified, "valid_error_message": error});
    for (request, user) in [
        (authorized(link(), gateway.credentials()), user(USER, true, "")),
        (link().header("x-bkapi-authorization", &alone), user("", false, NO_USER)),
    ] {
        let before = now_s();
        assert_eq!(request.send(gateway.base()).await.status, 200);
        let seen = recorder.take().remove(0);
        let [token] = seen.headers("x-bkapi-jwt")[..] else { panic!("{seen:?}") };
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = pem_body(&mint.public_pem());
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, public);
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).expect("signed with the key");
        let (header, claims) = signed.split_once('.').unwrap();
        let (header, mut claims) = (part(header), part(claims));
        let signed_at = header["iat"].as_i64().unwrap();
        assert!((before..=now_s()).contains(&signed_at), "{signed_at}");
        assert_eq!(header, json!({"typ": "JWT", "alg": "RS512", "kid": "linkgate", "iat": signed_at}));
        let ours = claims.as_object_mut().unwrap().remove("linkgate");
        let mut linkgate = json!({"target": "app_code/default", "action": "upload"});
        if user["verified"] == false {
            linkgate["user_optional"] = true.into();
        }
        assert_eq!(ours, Some(linkgate), "beside BlueKing's claims");
        let app = json!({"version": 1, "app_code": APP, "verified": true, "valid_error_message": ""});
        let want = json!({"iss": "APIGW", "nbf": signed_at - 300, "exp": signed_at + 900, "app": app, "user": user});
        assert_eq!(claims, want);
    }
}

/// DER of a PEM.
fn pem_body(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
