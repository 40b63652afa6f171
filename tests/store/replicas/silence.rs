//! A database whose machine vanishes, so that nobody is left to say that it is gone.

use linkgate_catalog::PostgresCatalog;
use linkgate_catalog::testing::PostgresServer;
use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::{CatalogError, CatalogReader as _};
use linkgate_store_core::settings::QueueLimits;
use linkgate_tests::PostgresProxy;
use linkgate_tests::network::{inside_with, lose};
use sqlx::{Connection as _, PgConnection};

const DATABASE: &str = "10.0.0.9";
/// The server is started outside, where there are other users than the one who runs this: by these it is reached.
const ADDRESS: &str = "LINKGATE_TEST_DATABASE";
const SOCKET: &str = "LINKGATE_TEST_DATABASE_SOCKET";

/// Without the options of its sockets this would wait for ever: the machine had told before it vanished that it has the question.
#[test]
fn whoever_waits_for_a_database_whose_machine_vanished_is_told_soon() {
    if let Some(missing) = PostgresServer::missing() {
        return println!("{missing}: nothing was tried");
    }
    let mut server = None;
    let start = || {
        let server = server.insert(PostgresServer::start());
        [(ADDRESS, server.address()), (SOCKET, server.socket().display().to_string())]
    };
    let name = "replicas::silence::whoever_waits_for_a_database_whose_machine_vanished_is_told_soon";
    inside_with(name, &[DATABASE], start, || async {
        let [address, socket] = [ADDRESS, SOCKET].map(|name| std::env::var_os(name).unwrap().into_string().unwrap());
        let proxy = PostgresProxy::before_at(socket.into(), DATABASE).await;
        let catalog = PostgresCatalog::connect(&proxy.address(), QueueLimits::default()).await.unwrap();
        let mut holding = PgConnection::connect(&address).await.unwrap();
        let mut held = holding.begin().await.unwrap();
        sqlx::query("lock table source_package in access exclusive mode").execute(&mut *held).await.unwrap();
        let asked = [1, 2, 3].map(|number| {
            let catalog = catalog.clone();
            tokio::spawn(async move { catalog.is_referenced(&Sha256::from_bytes([number; 32])).await })
        });
        let waiting = "select count(*) from pg_locks where relation = 'source_package'::regclass and not granted";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *held).await.unwrap() < 3 {
            tokio::task::yield_now().await;
        }
        lose(DATABASE);
        for asked in asked {
            let told = asked.await.unwrap();
            assert!(matches!(told, Err(CatalogError::Unavailable(_))), "{told:?}");
        }
    });
}
