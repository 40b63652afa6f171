//! What is between a store and its database: TLS, and a pooler.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use linkgate_catalog::testing::{PostgresServer, as_server_user, free_port};
use linkgate_tests::process::Finished;
use linkgate_tests::{Authority, FakeSource, Reached, Replicas, wait_until};
use tempfile::TempDir;

use super::{package, refusal};

/// What a store says that does not start with this database.
fn refusal_of(replicas: &Replicas, source: &FakeSource, database: &str) -> Finished {
    refusal(replicas, source, &Reached { database: Some(database.to_owned()), ..Reached::default() })
}

async fn assert_serves(replicas: &Replicas, source: &FakeSource, database: String) {
    let store = replicas.store(source, &Reached { database: Some(database), ..Reached::default() });
    let uploaded = store.send(store.request(source.url()).in_english()).await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.body);
    assert_eq!(store.download(uploaded.json()["id"].as_i64().unwrap(), &[]).await.status, 200);
    store.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_spoken_to_over_tls_and_only_if_it_is_the_right_one() {
    let Some(mut replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    let (authority, other) = (Authority::new(), Authority::new());
    let issued = authority.issue(&["localhost"]);
    replicas.postgres = PostgresServer::start_with_tls(issued.certificate(), issued.key());
    let port = replicas.postgres.port();
    let address = |host: &str, authority: &Authority| {
        let trusted = authority.file().display();
        format!("postgres://postgres@{host}:{port}/postgres?sslmode=verify-full&sslrootcert={trusted}")
    };
    assert_serves(&replicas, &source, address("localhost", &authority)).await;
    for (wrong, why) in [(address("localhost", &other), "authority"), (address("127.0.0.1", &authority), "name")] {
        let refused = refusal_of(&replicas, &source, &wrong);
        assert_eq!(refused.code, Some(1), "{why}: {refused:?}");
        assert!(refused.err.contains("certificate"), "{why}: {}", refused.err);
    }
    // And what is not encrypted is not let in, so it was.
    let plain = format!("postgres://postgres@localhost:{port}/postgres?sslmode=disable");
    assert_eq!(refusal_of(&replicas, &source, &plain).code, Some(1));
}

/// A pooler before the database.
struct Pooler {
    child: Child,
    port: u16,
    _dir: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn find_pgbouncer() -> Option<PathBuf> {
    let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
    places.into_iter().map(PathBuf::from).find(|path| path.is_file())
}

impl Pooler {
    async fn start(program: &Path, replicas: &Replicas, mode: &str, ignored: &str) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let socket = replicas.postgres.socket();
        let settings = format!(
            "[databases]\npostgres = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\nunix_socket_dir =\npool_mode = {mode}\nignore_startup_parameters = extra_float_digits{ignored}\n",
            socket.parent().unwrap().display(),
            replicas.postgres.port()
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        let mut command = as_server_user(program);
        let child = command.arg("-q").arg(&file).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self { child, port, _dir: dir };
        wait_until(async || match std::net::TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => Ok(()),
            Err(e) => Err(format!("the pooler is not ready: {e}")),
        })
        .await;
        pooler
    }

    fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_hands_connections_around_is_refused_at_start_and_one_by_session_will_do() {
    let Some(program) = find_pgbouncer() else {
        println!("not tried: there is no PgBouncer (Debian: pgbouncer)");
        return;
    };
    let Some(replicas) = Replicas::start().await else { return };
    let source = FakeSource::serving(package(0)).await;
    let refused = [
        // As it comes.
        ("transaction", "", "unsupported startup parameter"),
        ("transaction", ",options", "hands connections around"),
        ("session", ",options", "does not pass on the timeouts"),
    ];
    for (mode, ignored, why) in refused {
        let pooler = Pooler::start(&program, &replicas, mode, ignored).await;
        let refused = refusal_of(&replicas, &source, &pooler.address());
        assert_eq!(refused.code, Some(1), "{mode}{ignored}: {refused:?}");
        assert!(refused.err.contains(why), "{mode}{ignored}: {}", refused.err);
    }
    replicas.execute("alter role postgres set statement_timeout = '30s'").await;
    let pooler = Pooler::start(&program, &replicas, "session", ",options").await;
    assert_serves(&replicas, &source, pooler.address()).await;
    drop(pooler);
    assert_eq!(replicas.collect(&source).await.rows.len(), 1);
}
