//! What dies on the way, and comes back.

use std::process::{Command, Stdio};
use std::time::Duration;

use linkgate_tests::process::binary;
use linkgate_tests::request::get;
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{Behaviour, FakeSource, package_of_size, sha256_hex};
use tokio::net::TcpStream;

use crate::killable::KillableStack;
use crate::replies::{WholeStack, assert_envelope, assert_problem, authorized, stranger};

#[tokio::test]
async fn a_store_that_is_killed_in_mid_download_leaves_nothing_and_takes_the_same_request_again() {
    if linkgate_tests::engine::is_about_directories("it waits for a temporary file") {
        return;
    }
    let package = package_of_size(3 << 20);
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    let mut stack = KillableStack::start(&source).await;
    let (base, credentials) = (stack.gateway.base().to_owned(), stack.gateway.credentials().clone());
    let request = || authorized(stranger(source.url()), &credentials);

    let cut_off = tokio::spawn(request().try_send_owned(&base));
    source.wait_for_requests(1).await;
    wait_until_holds("the download", async || !stack.store.directory().temp_files().is_empty()).await;
    stack.store.kill_9();
    assert_envelope(&cut_off.await.unwrap().unwrap(), 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");
    assert_eq!(stack.store.directory().temp_files().len(), 1, "the download was under way");

    stack.start_store_again();
    stack.store.directory().assert_empty().await;
    source.release();
    let reply = request().send(&base).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(stack.store.stored_files(), [sha256_hex(&package)]);
}

#[tokio::test]
async fn a_blob_storage_that_fails_says_so_and_recovers_by_itself() {
    if linkgate_tests::engine::is_about_directories("it takes a folder away") {
        return;
    }
    let stack = WholeStack::new().await;
    let temp = stack.directory().path().join("tmp");
    std::fs::remove_dir(&temp).unwrap();
    let reply = stack.refuse(stack.request(stack.source().url())).await;
    let body = r#"{"code":"OBJECT_STORE_EXCEPTION","detail":"The object storage failed"}"#;
    assert_problem(&reply, 500, "OBJECT_STORE_EXCEPTION", Some("4312011"), body);
    std::fs::create_dir(&temp).unwrap();
    assert_eq!(stack.send(stack.request(stack.source().url())).await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_is_drained_says_so_first_and_answers_what_is_under_way() {
    let stack = WholeStack::new().await;
    let (base, address) = (stack.gateway().base(), stack.gateway().address());
    let beat = || tokio::time::sleep(Duration::from_millis(20));
    assert_eq!(get(base, "/readyz").await.status, 200);
    let link = stack.link_to("/held.tar.gz", Behaviour::Held(package_of_size(100_000)));
    let running = tokio::spawn(stack.request(link).try_send_owned(base));
    stack.source().wait_for_requests(1).await;

    let mut drain = Command::new(binary("linkgate"));
    drain.args(["envoy", "drain", "--notice", "20s", "--wait", "60s", "--admin", stack.gateway().admin()]);
    let mut drain = drain.stdout(Stdio::null()).spawn().unwrap();
    while get(base, "/readyz").await.status != 503 {
        beat().await;
    }
    // Who has not noticed yet is served.
    assert_eq!(stack.send(stack.request(stack.source().url()).version("0.0.6")).await.status, 200);
    while TcpStream::connect(address).await.is_ok() {
        beat().await;
    }
    assert!(drain.try_wait().unwrap().is_none(), "a request is still under way");
    stack.source().release();
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    assert!(drain.wait().unwrap().success());
    assert!(!stack.gateway().log().contains("/readyz"), "load balancers do not fill the access log");
}
