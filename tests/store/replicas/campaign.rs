//! The short forms of `cargo xtask chaos replicas` and `cargo xtask chaos upgrade`.

use linkgate_chaos::replicas::{Plan, Upgrade, run};
use linkgate_tests::process::SHIPPED;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_whatever_happens_to_stores_database_and_storage() {
    let Some(report) = run(Plan::new(10, None)).await else { return };
    assert!(report.violations().is_empty(), "{report}");
    eprintln!("{report}");
}

/// The same program stands for both releases.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_while_stores_are_replaced() {
    let upgrade = Upgrade { from: SHIPPED.to_owned(), seconds: 1 };
    let Some(report) = run(Plan::of_upgrade(upgrade, None)).await else { return };
    assert!(report.violations().is_empty(), "{report}");
    eprintln!("{report}");
}
