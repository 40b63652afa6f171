//! The short form of `cargo xtask chaos replicas`.

use linkgate_chaos::replicas::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_whatever_happens_to_stores_database_and_storage() {
    let Some(report) = run(Plan::new(10, None)).await else { return };
    assert!(report.violations().is_empty(), "{report}");
    eprintln!("{report}");
}
