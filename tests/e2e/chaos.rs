//! The short form of `cargo xtask chaos gate`.

use linkgate_chaos::gate::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn no_reply_is_wrong_while_policies_and_bkauth_come_and_go() {
    let report = run(Plan { seconds: 3, rate: 200, deploys: 3 }).await;
    assert!(report.violations().is_empty(), "{report}");
}
