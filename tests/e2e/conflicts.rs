//! The same version twice: one after the other, replaced on purpose, and at the same moment.

use linkgate_tests::{Behaviour, package_of, sha256_hex};

use crate::replies::{WholeStack, assert_problem, package};

#[tokio::test]
async fn the_same_version_again_is_refused_unless_it_may_be_replaced() {
    let stack = WholeStack::new().await;
    let first = stack.send(stack.request(stack.source().url())).await.json();
    let again =
        stack.send(stack.request(stack.link_to("/new.tgz", Behaviour::Bytes(package_of("new")))).in_english()).await;
    let body = r#"{"code":"PACKAGE_ALREADY_EXISTS","detail":"The source package already exists"}"#;
    assert_problem(&again, 400, "PACKAGE_ALREADY_EXISTS", Some("4312009"), body);
    assert_eq!(stack.stored_files(), [sha256_hex(&package())]);

    let replaced = stack.send(stack.request(stack.source().url_of("/new.tgz")).overwriting()).await.json();
    assert_eq!((&replaced["id"], &replaced["created"]), (&first["id"], &first["created"]));
    assert_eq!(replaced["sha256_signature"], sha256_hex(&package_of("new")));
    assert_eq!(replaced["package_name"], "new:0.0.5");
    assert_eq!(stack.stored_files(), [sha256_hex(&package_of("new"))], "what was replaced is gone");
    assert_eq!(stack.rows().await.len(), 1);
}

#[tokio::test]
async fn of_many_callers_at_once_exactly_one_wins() {
    let stack = WholeStack::new().await;
    let uploads: Vec<_> = (0..8)
        .map(|n| {
            let url = stack.link_to(&format!("/{n}.tgz"), Behaviour::Held(package_of(format!("package {n}"))));
            tokio::spawn(stack.request(url).try_send_owned(stack.gateway().base()))
        })
        .collect();
    // All of them are in the middle of their download before the first can finish.
    stack.source().wait_for_requests(8).await;
    stack.source().release();
    let mut won = Vec::new();
    for upload in uploads {
        let reply = upload.await.unwrap().unwrap();
        match reply.status {
            200 => won.push(reply.json()["sha256_signature"].as_str().unwrap().to_owned()),
            _ => assert_eq!((reply.status, reply.header("bkapi-error-code")), (400, Some("PACKAGE_ALREADY_EXISTS"))),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(stack.stored_files(), won, "the losers left nothing");
    let rows = stack.rows().await;
    assert_eq!((rows.len(), &rows[0].sha256), (1, &won[0]));
    assert!(stack.directory().temp_files().is_empty());
}
