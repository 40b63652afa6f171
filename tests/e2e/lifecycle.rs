//! What dies on the way, and comes back.

use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::{Behaviour, FakeSource, StoreProcess, sha256_hex};

use crate::bed::{Bed, assert_envelope, assert_problem, authorized, stranger};

/// A port that was free a moment ago: the store must come back where Envoy looks for it.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_store_that_is_killed_in_mid_download_leaves_nothing_and_takes_the_same_request_again() {
    let package = linkgate_tests::bytes(3 << 20);
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    let (data, plan) = (tempfile::tempdir().unwrap(), GatewayPlan::new());
    let listen = format!("127.0.0.1:{}", free_port());
    let keys = plan.public_keys();
    let settings = [
        ("LINKGATE_STORE_LISTEN", listen.as_str()),
        ("LINKGATE_JWT_PUBLIC_KEYS", keys.as_str()),
        ("LINKGATE_FETCH_ALLOWED_HOSTS", &source.host()),
        ("LINKGATE_FETCH_PRIVATE_HOSTS", &source.host()),
    ];
    let mut store = StoreProcess::start(data.path(), &settings);
    plan.deploy(&plan.credentials().policy(&[source.host()]));
    let gateway = plan.start(listen.parse().unwrap()).await;
    let request = || authorized(stranger(source.url()), gateway.credentials());

    let cut_off = tokio::spawn(request().try_send_owned(gateway.base()));
    source.wait_for_requests(1).await;
    while store.shelf().temp_files().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    store.kill_9();
    assert_envelope(&cut_off.await.unwrap().unwrap(), 502, 1_650_200, "BAD_GATEWAY", "Bad Gateway");
    assert_eq!(store.shelf().temp_files().len(), 1, "the download was under way");

    let store = StoreProcess::start(data.path(), &settings);
    store.shelf().assert_empty().await;
    source.release();
    let reply = request().send(gateway.base()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(store.shelf().stored_files(), [sha256_hex(&package)]);
}

#[tokio::test]
async fn a_blob_storage_that_fails_says_so_and_recovers_by_itself() {
    let bed = Bed::new().await;
    let temp = bed.shelf().path().join("tmp");
    std::fs::remove_dir(&temp).unwrap();
    let reply = bed.refuse(bed.request(bed.source.url())).await;
    let body = r#"{"code":"OBJECT_STORE_EXCEPTION","detail":"The object storage failed"}"#;
    assert_problem(&reply, 500, "OBJECT_STORE_EXCEPTION", Some("4312011"), body);
    std::fs::create_dir(&temp).unwrap();
    assert_eq!(bed.send(bed.request(bed.source.url())).await.status, 200);
}
