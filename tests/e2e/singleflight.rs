//! Many who ask the same at once, those who go away meanwhile, and what is remembered of an answer.

use futures_util::future::join_all;
use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::signature::signed_target;
use linkgate_tests::token::now_s;
use linkgate_tests::{Identity, Question, Reply, Service, ServiceBehaviour, random};
use serde_json::{Value, json};

use crate::platform::{ANNA, CI, Caller, Platform, Proof, UPLOAD};
use crate::replies::{assert_not_authenticated, stranger};

/// An app and a user whom services know both, and whom nobody asked about yet.
fn newcomer(platform: &Platform) -> Caller {
    let identity = &platform.identity;
    let presented =
        json!({"bk_app_code": CI, "bk_app_secret": identity.add_app(CI), "bk_token": identity.add_token(ANNA)});
    Caller { presented, operator: ANNA, ..platform.app("") }
}

fn asked(identity: &Identity) -> (usize, usize) {
    (identity.count(Question::VerifySecret), identity.count(Question::IsLogin))
}

fn assert_served(reply: &Reply) {
    assert_eq!((reply.status, reply.json()["operator"].as_str()), (200, Some(ANNA)), "{reply:?}");
}

/// Waits until that many requests are under way.
async fn wait_until_open(platform: &Platform, count: usize) {
    let (page, wanted) = ("/stats?filter=^http.gateway.downstream_rq_active$", format!(": {count}\n"));
    platform.stack.gateway().wait_for_page(page, "so many are under way", |text| text.ends_with(&wanted)).await;
}

/// Services that are held are waited for as long as can be.
fn wait_long(policy: &mut Value) {
    policy["identity"]["timeout_ms"] = json!(30_000);
}

/// Sends fifty requests of one caller, and lets the services answer when all are under way.
async fn fifty_at_once(platform: &Platform, caller: &Caller) {
    platform.identity.set_all(ServiceBehaviour::Held).await;
    let sent = join_all((0..50).map(|_| platform.stack.send(platform.request(caller))));
    let release = async {
        wait_until_open(platform, 50).await;
        platform.identity.set_all(ServiceBehaviour::Well).await;
    };
    let (replies, ()) = tokio::join!(sent, release);
    replies.iter().for_each(assert_served);
}

#[tokio::test]
async fn fifty_at_once_ask_each_question_once() {
    let platform = Platform::with(wait_long).await;
    let caller = newcomer(&platform);
    fifty_at_once(&platform, &caller).await;
    assert_eq!(asked(&platform.identity), (1, 1));
    assert_eq!(platform.stack.rows().await.len(), 50);
    platform.serve(&caller).await;
    assert_eq!(asked(&platform.identity), (1, 1));
}

#[tokio::test]
async fn fifty_at_once_are_told_of_a_failure_once_and_may_ask_again() {
    let platform = Platform::new().await;
    let caller = newcomer(&platform);
    platform.identity.set_all(ServiceBehaviour::Status(500)).await;
    for reply in join_all((0..50).map(|_| platform.stack.send(platform.request(&caller)))).await {
        assert_eq!(reply.status, 500, "{reply:?}");
    }
    platform.identity.set_all(ServiceBehaviour::Well).await;
    platform.identity.forget();
    platform.serve(&caller).await;
    assert_eq!(asked(&platform.identity), (1, 1));
}

#[tokio::test]
async fn two_workers_ask_twice_at_the_most() {
    let platform = Platform::planned(GatewayPlan::new(), wait_long).await;
    let caller = newcomer(&platform);
    fifty_at_once(&platform, &caller).await;
    let (apps, users) = asked(&platform.identity);
    assert!((1..=2).contains(&apps) && (1..=2).contains(&users), "{apps} {users}");
}

#[tokio::test]
async fn who_hangs_up_while_a_service_is_asked_takes_nobody_along() {
    let platform = Platform::with(wait_long).await;
    let caller = newcomer(&platform);
    platform.identity.set_all(ServiceBehaviour::Held).await;
    let base = platform.stack.gateway().base();
    let begin = || tokio::spawn(platform.request(&caller).try_send_owned(base));
    let first = begin();
    platform.identity.wait_for(Question::VerifySecret, 1).await;
    let others: Vec<_> = (0..6).map(|_| begin()).collect();
    // All of them wait for the one answer when the one who asked, and one who joined, go away.
    wait_until_open(&platform, 7).await;
    first.abort();
    others[3].abort();
    wait_until_open(&platform, 5).await;
    platform.identity.set_all(ServiceBehaviour::Well).await;
    let replies = join_all(others).await;
    assert_eq!(replies.iter().filter(|reply| reply.is_err()).count(), 1);
    replies.into_iter().flatten().for_each(|reply| assert_served(&reply.unwrap()));
    assert_eq!(asked(&platform.identity), (1, 1));

    // Everybody goes away: the answer is remembered all the same, and the next one finds it.
    platform.identity.set_all(ServiceBehaviour::Held).await;
    let lonely = newcomer(&platform);
    let request = tokio::spawn(platform.request(&lonely).try_send_owned(base));
    platform.identity.wait_for(Question::VerifySecret, 2).await;
    request.abort();
    wait_until_open(&platform, 0).await;
    platform.identity.set_all(ServiceBehaviour::Well).await;
    assert_served(&platform.stack.send(platform.request(&lonely)).await);
    assert_eq!(asked(&platform.identity), (2, 2));
    assert!(!platform.stack.gateway().log().contains("[error]"), "{}", platform.stack.gateway().log());
}

#[tokio::test]
async fn a_request_that_waits_for_an_answer_ends_under_the_policy_that_it_began_with() {
    let platform = Platform::planned(GatewayPlan::new(), wait_long).await;
    let caller = newcomer(&platform);
    platform.identity.set(Service::Bkauth, ServiceBehaviour::Held).await;
    let begin = || platform.request(&caller).try_send_owned(platform.stack.gateway().base());
    let requests: Vec<_> = (0..6).map(|_| tokio::spawn(begin())).collect();
    wait_until_open(&platform, 6).await;
    let mut closed = platform.stack.policy().clone();
    closed["grants"] = json!([]);
    // Not `enforce`: the policy before this one stays until its last request has ended.
    platform.stack.gateway().deploy(&closed).await.unwrap();
    let new = format!("version.{}: 3\n", platform.stack.gateway().policy_version());
    platform
        .stack
        .gateway()
        .wait_for_page("/stats?filter=policy_workers", "it serves", |page| page.contains(&new))
        .await;
    assert_eq!(platform.identity.count(Question::IsLogin), 0, "the first question is still open");
    platform.identity.set(Service::Bkauth, ServiceBehaviour::Well).await;
    for reply in join_all(requests).await {
        assert_served(&reply.unwrap().unwrap());
    }
    assert_eq!(platform.refuse(&caller).await.json()["code"], 1_640_301);
    let one = |page: &str| page.lines().filter(|line| !line.ends_with(": 0")).count() == 1;
    platform.stack.gateway().wait_for_page("/stats?filter=policy_workers", "the old one went", one).await;
}

#[tokio::test]
async fn a_wrong_secret_is_asked_about_once_and_a_new_one_works_at_once() {
    let platform = Platform::new().await;
    let (wrong, old) = (platform.app(&random()), platform.identity.add_app(CI));
    for _ in 0..5 {
        assert_not_authenticated(&platform.refuse(&wrong).await, "bk_app_code or bk_app_secret is incorrect");
    }
    assert_eq!(platform.identity.count(Question::VerifySecret), 1);
    platform.serve(&platform.app(&old)).await;
    // Rotated: the new one at once; the old one for as long as its answer is fresh.
    let new = platform.identity.add_app(CI);
    platform.identity.remove_secret(CI, &old);
    assert_eq!(platform.serve(&platform.app(&new)).await["identity"], "fresh");
    assert_eq!(platform.serve(&platform.app(&old)).await["identity"], "cached");
    assert_eq!(platform.identity.count(Question::VerifySecret), 3);

    // One who signs: what is kept of the secrets does not fit any more, so they are asked for again.
    let signer = platform.caller(Proof::Signature);
    let code = signer.presented["bk_app_code"].as_str().unwrap().to_owned();
    assert_eq!(platform.serve(&signer).await["identity"], "fresh");
    let renewed = Caller { signs_with: Some(platform.identity.add_app(&code)), ..signer.clone() };
    assert_eq!(platform.serve(&renewed).await["identity"], "fresh");
    assert_eq!(platform.serve(&signer).await["identity"], "cached");
    assert_eq!(platform.identity.count(Question::ListSecrets), 2);
}

#[tokio::test]
async fn a_signature_serves_once_whichever_worker_sees_it() {
    let platform = Platform::planned(GatewayPlan::new(), |_| ()).await;
    let stack = &platform.stack;
    let signer = platform.caller(Proof::Signature);
    let secret = signer.signs_with.clone().unwrap();
    let path = format!("/stag{UPLOAD}");
    for nonce in 1_000..1_030_u64 {
        // What passes the gate is nothing the store would take, so that passing twice shows.
        let body = json!({"package_url": "https://elsewhere.example/", "version": "1"}).to_string();
        let target = signed_target(&path, nonce, now_s(), &body, &secret);
        let request = || {
            let request = stranger("").path(&target).raw_body(body.clone()).in_english();
            request.header("x-bkapi-authorization", &signer.presented.to_string())
        };
        let replies = join_all((0..6).map(|_| stack.send(request()))).await;
        let passed = replies.iter().filter(|reply| reply.body.contains("is not in the allow-list")).count();
        assert_eq!(passed, 1, "{replies:?}");
        for reply in replies.iter().filter(|reply| !reply.body.contains("is not in the allow-list")) {
            assert_not_authenticated(reply, "parameter bk_nonce has been used before");
        }
    }
    let page = stack.gateway().admin_page("/stats?filter=worker_[01].downstream_cx_total").await;
    let taken: Vec<_> = page.lines().filter(|line| !line.ends_with(": 0")).collect();
    assert_eq!(taken.len(), 2, "both workers served:\n{page}");
}
