//! A policy and a key are taken whole, or refused with a reason while the one before stays in force.

use serde_json::{Value, json};

use crate::fixture::{self, key_variable, policy};
use crate::request::Request;
use crate::vm::{ROOT, Vm};

/// What [`Vm::add_root`] logs with this environment, for a configuration that is refused.
fn refusal(environ: Vec<String>, configuration: impl ToString) -> String {
    let mut vm = Vm::new(environ);
    let (root, took) = vm.add_root(configuration);
    assert!(!took, "{}", vm.world().log_text());
    let log = vm.world().log_text();
    assert_eq!(vm.send(&Request::good().under(root)).status(), 500, "nobody is let in without a gate");
    log
}

fn refused_policy(configuration: impl ToString) -> String {
    refusal(vec![key_variable(&fixture::key_text())], configuration)
}

#[test]
fn a_good_policy_configures_and_says_what_it_holds() {
    let mut vm = Vm::configured();
    let log = vm.world().log_text();
    assert!(
        log.starts_with("[2] policy ") && log.ends_with(" in force: 1 grants, 2 clients, 2 users, 1 allowed hosts\n")
    );
    vm.send(&Request::good()).forwarded();
}

#[test]
fn every_form_of_the_key_is_read() {
    for form in fixture::key_forms() {
        let mut vm = Vm::new(vec!["OTHER=1".into(), key_variable(&form), "LAST=".into()]);
        let (root, took) = vm.add_root(policy());
        assert!(took, "{}", vm.world().log_text());
        vm.send(&Request::good().under(root)).forwarded();
    }
}

#[test]
fn a_broken_policy_is_refused_with_every_fault_in_the_log() {
    let mut broken = policy();
    broken["version"] = json!(2);
    broken["limits"]["body_bytes"] = json!(0);
    broken["clients"][1]["secret_sha256"] = json!(["xyz"]);
    let log = refused_policy(broken);
    for path in ["version", "limits.body_bytes", "clients[1].secret_sha256[0]"] {
        assert!(log.contains(&format!("[4] policy refused: {path}: ")), "{path}: {log}");
    }
    let mut unknown = policy();
    unknown["grant"] = json!([]);
    let log = refused_policy(unknown);
    assert!(log.contains("[4] policy refused: grant: unknown key"), "{log}");
}

#[test]
fn what_is_no_json_is_refused() {
    let deep = "[".repeat(100_000);
    for text in ["", "{", "null", "[]", "\u{0}", "policy.yaml", &deep] {
        let log = refused_policy(text);
        assert!(log.starts_with("[4] policy refused: "), "{log}");
    }
    let mut vm = Vm::configured();
    let binary = [fixture::policy().to_string().as_bytes(), b"\xff"].concat();
    assert!(!vm.configure_with_bytes(ROOT, binary));
    vm.send(&Request::good()).forwarded();
}

#[test]
fn a_missing_key_is_refused() {
    for environ in [vec![], vec![key_variable("")], vec![key_variable(" \n")], vec!["OTHER=1".into()]] {
        let log = refusal(environ, policy());
        let want = "[4] policy refused: the signing key is missing: set LINKGATE_JWT_PRIVATE_KEY in the proxy's \
                    environment\n";
        assert_eq!(log, want);
    }
}

#[test]
fn a_key_of_another_kind_is_refused_and_not_shown() {
    use base64::Engine as _;
    let encode = |der: &[u8]| base64::engine::general_purpose::STANDARD.encode(der);
    let mut agreement = fixture::key_der();
    let oid = agreement.windows(3).position(|part| part == [0x2b, 0x65, 0x70]).unwrap();
    agreement[oid + 2] = 0x6e; // X25519: as long, but not for signatures.
    let der = fixture::key_der();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", encode(&agreement));
    for text in [encode(&agreement), pem, encode(&der[..der.len() - 1]), encode(&[0; 48]), "s3cret-of-app".into()] {
        let log = refusal(vec![key_variable(&text)], policy());
        let want = "[4] policy refused: the signing key must be an Ed25519 or RSA private key, PKCS#8 (or PKCS#1 for \
                    RSA) as PEM or base64 of it\n";
        assert_eq!(log, want);
    }
}

#[test]
fn a_refused_root_leaves_the_one_before_at_work() {
    let mut vm = Vm::configured();
    for bad in [json!({}), Value::Null, json!("x")] {
        let (root, took) = vm.add_root(&bad);
        assert!(!took && root != ROOT);
        vm.send(&Request::good()).forwarded();
        vm.delete(root);
    }
    vm.send(&Request::good()).forwarded();
}

#[test]
fn a_root_that_refuses_a_new_policy_keeps_its_old_one() {
    let mut vm = Vm::configured();
    assert!(!vm.configure(ROOT, "{"));
    vm.send(&Request::good()).forwarded();
    let mut nobody = policy();
    nobody["clients"] = json!([]);
    assert!(vm.configure(ROOT, nobody));
    assert_eq!(vm.send(&Request::good()).status(), 400);
}

#[test]
fn each_root_has_its_own_policy_and_a_request_keeps_the_one_it_began_with() {
    let mut vm = Vm::configured();
    let context = vm.open(&Request::good());
    vm.head(context, false);
    let mut nobody = policy();
    nobody["clients"] = json!([]);
    let (root, took) = vm.add_root(nobody);
    assert!(took);
    assert_eq!(vm.send(&Request::good().under(root)).status(), 400);
    vm.send(&Request::good()).forwarded();
    vm.delete(ROOT);
    vm.chunk(context, crate::request::BODY.as_bytes(), true);
    assert!(vm.close(context).replies.is_empty(), "the old root's requests are finished by its own gate");
}
