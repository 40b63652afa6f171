//! `linkgate keys` and `linkgate secret`: what is secret stays with its owner.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::os::unix::fs::PermissionsExt;

use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use support::Sandbox;

const GENERATE: [&str; 4] = ["keys", "generate", "--to", "keys"];

fn mode(sandbox: &Sandbox, name: &str) -> u32 {
    std::fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_pair_is_made_for_its_owner_only() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&GENERATE);
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    let (private, public) = (sandbox.read("keys/jwt-private.pem"), sandbox.read("keys/jwt-public.pem"));
    let key = SigningKey::from_pkcs8_pem(&private).unwrap();
    assert_eq!(key.verifying_key(), VerifyingKey::from_public_key_pem(&public).unwrap());
    assert_eq!((mode(&sandbox, "keys"), mode(&sandbox, "keys/jwt-private.pem")), (0o700, 0o600));
    assert_eq!(mode(&sandbox, "keys/jwt-public.pem"), 0o644);
    assert!(!outcome.out.contains("PRIVATE KEY-"), "the key itself is not printed");
    assert_eq!(sandbox.read_files().len(), 3, "{:?}", sandbox.read_files().keys());
}

#[test]
fn a_key_is_never_overwritten() {
    for there in ["jwt-private.pem", "jwt-public.pem"] {
        let sandbox = Sandbox::new();
        sandbox.create_folder("keys");
        sandbox.write(&format!("keys/{there}"), "precious");
        let before = sandbox.read_files();
        let outcome = sandbox.run(&GENERATE);
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""));
        let want = format!("keys/{there} is already there and is not overwritten: move it away first");
        assert!(outcome.err.starts_with(&want), "{}", outcome.err);
        assert_eq!(sandbox.read_files(), before);
    }
}

#[test]
fn a_secret_is_read_from_standard_input() {
    let outcome = Sandbox::new().run_with(&["secret", "hash"], &[], b"abcdefghijklmnopqrstuvwxyz\n");
    assert_eq!(outcome.out, "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73\n");
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
}

#[test]
fn a_secret_that_could_be_guessed_is_refused_and_not_printed() {
    let outcome = Sandbox::new().run_with(&["secret", "hash"], &[], b"hunter2hunter2\n");
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.contains("too easy to guess") && !outcome.err.contains("hunter2"), "{}", outcome.err);
}

#[test]
fn a_secret_is_never_taken_as_an_argument() {
    let outcome = Sandbox::new().run_with(&["secret", "hash", "abc"], &[], b"");
    assert_eq!((outcome.code, outcome.out.as_str()), (2, ""));
}

#[test]
fn an_empty_secret_is_refused() {
    let outcome = Sandbox::new().run_with(&["secret", "hash"], &[], b"\n");
    assert_eq!((outcome.code, outcome.out.as_str()), (1, ""));
    assert!(outcome.err.starts_with("the secret is empty: pipe it in"), "{}", outcome.err);
}
