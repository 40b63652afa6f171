//! What commands do to what stores share, beside those that run.

use std::path::{Path, PathBuf};

use linkgate_catalog::testing::PostgresServer;
use linkgate_tests::process::{Finished, command_with};
use linkgate_tests::weed::Weed;
use linkgate_tests::{Behaviour, FakeSource, SigningKeys, StoreProcess, package_of, sha256_hex, wait_until};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::shared::{nothing_is_secret_in, servers, start};

/// By hand only.
const NOT_BY_THE_CLOCK: [(&str, &str); 4] = [
    ("LINKGATE_STORE_GC_INTERVAL_S", "0"),
    ("LINKGATE_STORE_PURGE_INTERVAL_S", "0"),
    ("LINKGATE_STORE_SCRUB_BYTES_PER_S", "0"),
    ("LINKGATE_RETENTION_INTERVAL_S", "0"),
];

/// A store that runs on what others could share, with packages in it.
struct Beside {
    store: StoreProcess,
    source: FakeSource,
    settings: Vec<(&'static str, String)>,
    dir: tempfile::TempDir,
    weed: Weed,
    postgres: PostgresServer,
    _keys: SigningKeys,
}

impl Beside {
    /// One package of each of these contents, versions `0`, `1`, …
    async fn with_packages(contents: &[&str]) -> Option<Self> {
        let (postgres, weed, _keys, mut settings) = servers().await?;
        settings.extend(NOT_BY_THE_CLOCK.map(|(name, value)| (name, value.to_owned())));
        let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("unused")).await);
        let store = start(&source, &dir.path().join("store"), &settings);
        let beside = Self { store, source, settings, dir, weed, postgres, _keys };
        for (version, content) in contents.iter().enumerate() {
            beside.upload(&version.to_string(), content).await;
        }
        Some(beside)
    }

    async fn upload(&self, version: &str, content: &str) {
        let path = format!("/{version}");
        self.source.on(&path, Behaviour::Bytes(package_of(content)));
        let request = self.store.request(self.source.url_of(&path)).version(version).overwriting();
        let reply = self.store.send(request).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    fn run(&self, arguments: &[&str], more: &[(&str, &str)]) -> Finished {
        let settings = self.settings.iter().map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<_> = settings.chain(more.iter().copied()).collect();
        let done = command_with(&self.dir.path().join("operator"), arguments, &settings);
        nothing_is_secret_in(&[done.out.clone(), done.err.clone()]);
        done
    }

    /// The output of one that ends well.
    fn said(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments, &[]);
        assert_eq!(done.code(), 0);
        done.out
    }

    fn found(&self, arguments: &[&str]) -> Vec<Value> {
        let done = self.run(arguments, &[]);
        assert_eq!(done.code(), 1);
        done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.address()).await.unwrap()
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&mut self.connect().await).await.unwrap();
    }

    /// The object of a blob.
    async fn key(&self, sha256: &str) -> String {
        let query = sqlx::query_scalar("select key from blob where sha256 = $1").bind(sha256.to_owned());
        query.fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// As if every blob had been there for long.
    async fn age(&self) {
        self.execute("update blob set published_at = published_at - interval '2 hours'").await;
    }
}

fn of<'f>(found: &'f [Value], sha256: &str) -> &'f Value {
    let it = found.iter().find(|finding| finding["sha256"] == sha256);
    it.unwrap_or_else(|| panic!("{sha256} is not among {found:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_bucket_is_found_and_repaired_beside_stores() {
    let contents = ["good", "corrupt", "lost", "orphaned"];
    let Some(beside) = Beside::with_packages(&contents).await else { return };
    let [good, corrupt, lost, orphan] = contents.map(|content| sha256_hex(&package_of(content)));
    let bytes: usize = contents.iter().map(|content| package_of(content).len()).sum();
    assert_eq!(beside.said(&["verify"]), format!("4 rows, 4 packages, {bytes} bytes: 0 findings\n"));

    let damaged = beside.key(&corrupt).await;
    let other = "x".repeat(package_of("corrupt").len());
    beside.weed.damage(&damaged, Some(&other)).await;
    beside.weed.damage(&beside.key(&lost).await, None).await;
    beside.execute("delete from source_package where version = '3'").await;
    let found = beside.found(&["verify", "--json"]);
    assert_eq!(
        found.last().unwrap()["summary"]["findings"],
        2,
        "an upload may be about to record the orphan: {found:?}"
    );
    beside.age().await;
    let objects = beside.weed.objects().await;
    let found = beside.found(&["verify", "--json"]);
    assert_eq!(
        found.last().unwrap()["summary"],
        json!({"rows": 3, "blobs": 3, "bytes": bytes - package_of("lost").len(), "findings": 3})
    );
    let kinds = [&corrupt, &lost, &orphan].map(|sha256| of(&found, sha256)["finding"].clone());
    assert_eq!(kinds, ["blob_corrupt", "blob_missing", "blob_orphaned"]);
    assert_eq!(of(&found, &corrupt)["rows"][0]["version"], "1");
    assert_eq!(beside.weed.objects().await, objects, "a check changes nothing");

    let repaired = beside.found(&["verify", "--repair", "--json"]);
    assert_eq!(of(&repaired, &corrupt)["moved_to"], format!("s3://linkgate/{damaged}"));
    assert_eq!((&of(&repaired, &orphan)["removed"], &of(&repaired, &lost)["removed"]), (&json!(true), &Value::Null));
    assert_eq!(beside.weed.stored(&damaged).await, other.as_bytes(), "it is in quarantine as it was");
    assert_eq!(beside.weed.objects().await, objects, "what is orphaned goes after its grace");
    let after = beside.found(&["verify", "--json"]);
    let missing = [&corrupt, &lost].map(|sha256| of(&after, sha256)["finding"].clone());
    assert_eq!(
        (missing, &after[2]["summary"]["findings"]),
        (["blob_missing".into(), "blob_missing".into()], &json!(2))
    );

    // The running store puts it right, and the good one was good all the time.
    beside.upload("1", "corrupt").await;
    beside.upload("2", "lost").await;
    assert!(beside.said(&["verify"]).ends_with(": 0 findings\n"));
    assert_eq!(sha256_hex(&beside.store.download(1, &[]).await.bytes), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_the_database_does_not_know_are_named_and_those_with_names_of_ours_deleted_after_the_grace() {
    let Some(beside) = Beside::with_packages(&["good", "forgotten"]).await else { return };
    let [good, forgotten] = [package_of("good"), package_of("forgotten")].map(|package| sha256_hex(&package));
    let (known, lost) = (beside.key(&good).await, beside.key(&forgotten).await);
    // As after the database was taken back to an earlier moment.
    beside.execute("delete from source_package where version = '1'").await;
    beside.execute("delete from blob where key not in (select key from blob join source_package using (sha256))").await;
    beside.weed.damage("packages/p/notes", Some("of somebody else")).await;
    assert!(beside.said(&["verify"]).ends_with(": 0 findings\n"), "a moment ago they may have been written late");

    let named = [&lost, &format!("{lost}.intoto.jsonl"), &"packages/p/notes".to_owned()]
        .map(|key| format!("s3://linkgate/{key}"));
    let soon = [("LINKGATE_STORE_GC_GRACE_S", "1")];
    let verify = |arguments: &[&str], more: &[(&str, &str)]| {
        let done = beside.run(arguments, &[&soon[..], more].concat());
        assert_eq!(done.code(), 1);
        let lines = done.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.filter(|line| line["finding"] == "object_unknown");
        let mut found: Vec<_> =
            found.map(|line| (line["path"].as_str().unwrap().to_owned(), line["removed"].clone())).collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    };
    wait_until(async || match beside.run(&["verify"], &soon).out {
        said if said.ends_with(": 3 findings\n") => Ok(()),
        said => Err(said),
    })
    .await;
    let with = |removed: [Value; 3]| named.clone().into_iter().zip(removed).collect::<Vec<_>>();
    let nothing = with([Value::Null, Value::Null, Value::Null]);
    assert_eq!(verify(&["verify", "--json"], &[]), nothing);
    assert_eq!(verify(&["verify", "--repair", "--json"], &[]), nothing, "for seven days");
    let no_grace = [("LINKGATE_S3_DELETE_GRACE_S", "0")];
    let removed = with([json!(true), json!(true), Value::Null]);
    assert_eq!(verify(&["verify", "--repair", "--json"], &no_grace), removed);
    let left = [known.clone(), format!("{known}.intoto.jsonl"), "packages/p/notes".to_owned()];
    let mut objects = beside.weed.objects().await;
    objects.retain(|object| object.starts_with("packages/p/"));
    objects.sort();
    assert_eq!(objects, left);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_needs_is_collected_and_purged_beside_stores() {
    let Some(beside) = Beside::with_packages(&["stays", "deleted", "replaced"]).await else { return };
    beside.upload("2", "in its place").await;
    let deleted = beside.store.send(beside.store.below(Method::DELETE, "2/")).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    assert_eq!(
        beside.said(&["purge", "--dry-run"]),
        "Would purge 0 deleted packages (0 bytes)\n",
        "it may be restored"
    );
    beside.execute("update source_package set purge_after_ms = 1 where is_deleted").await;
    let size = package_of("deleted").len();
    assert_eq!(beside.said(&["purge", "--dry-run"]), format!("Would purge 1 deleted packages ({size} bytes)\n"));

    // Both were published a moment ago.
    let purged = beside.said(&["purge"]);
    assert!(purged.starts_with(&format!("Purged 1 deleted packages ({size} bytes)\n0 files are gone")), "{purged}");
    assert!(beside.said(&["gc"]).starts_with("Deleted 0 orphaned packages (0 bytes) and 0 temporary files"));
    beside.age().await;
    let objects = beside.weed.objects().await;
    let bytes = size + package_of("replaced").len();
    let would = format!("Would delete 2 orphaned packages ({bytes} bytes) and 0 temporary files (0 bytes)\n");
    assert_eq!(beside.said(&["gc", "--dry-run"]), would);
    let done = format!("Deleted 2 orphaned packages ({bytes} bytes) and 0 temporary files (0 bytes)\n");
    assert_eq!(beside.said(&["gc"]), format!("{done}Their objects stay in the bucket for 7 days\n"));
    assert_eq!(beside.weed.objects().await, objects);
    beside.execute("update blob_key set since = since - interval '7 days' where state = 'retired'").await;
    assert!(
        beside
            .said(&["gc"])
            .starts_with(&format!("Deleted 0 orphaned packages (0 bytes) and 2 temporary files ({bytes} bytes)"))
    );
    assert_eq!(beside.weed.objects().await.len(), 4, "two packages and the statements about them");
    assert!(beside.said(&["verify"]).ends_with(": 0 findings\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_told_and_rules_are_explained_and_run_beside_stores() {
    let Some(beside) = Beside::with_packages(&["a", "b", "c"]).await else { return };
    let events: Vec<Value> =
        beside.said(&["events", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = events.iter().map(|event| (event["action"].clone(), event["version"].clone())).collect();
    assert_eq!(told, ["0", "1", "2"].map(|version| (json!("upload"), json!(version))));
    let by_api = beside.store.send(beside.store.below(Method::GET, "events/?limit=1")).await.json();
    let last = events.last().unwrap();
    assert_eq!(
        (&by_api["results"][0]["id"], &by_api["results"][0]["sha256_after"]),
        (&last["id"], &last["sha256_after"])
    );
    let at = last["at"].as_str().unwrap();
    assert!(at.len() == 24 && at.ends_with('Z') && at.as_bytes()[10] == b'T', "{at}");
    assert_eq!(beside.said(&["events", "--module", "other"]), "");
    let first = events[0]["id"].to_string();
    assert_eq!(beside.said(&["events", "--after", &first, "--app", "app_code"]).lines().count(), 2);

    let rules = rules_file(beside.dir.path());
    let name = rules.to_str().unwrap();
    let retention = |command| beside.run(&["retention", command], &[("LINKGATE_RETENTION_FILE", name)]);
    beside.execute("update source_package set updated_ms = id").await;
    let explained = retention("explain");
    assert_eq!(explained.code(), 0);
    assert!(explained.out.contains("(enforce) would delete 2 packages"), "{}", explained.out);
    let done = retention("run");
    let bytes = package_of("a").len() + package_of("b").len();
    let said = format!("Deleted 2 packages ({bytes} bytes); rules that only report would delete 0\n");
    assert_eq!((done.code(), done.out), (0, said));
    let listed = beside.store.send(beside.store.below(Method::GET, "")).await.json();
    assert_eq!((&listed["count"], &listed["results"][0]["version"]), (&json!(1), &json!("2")), "{listed}");
}

fn rules_file(dir: &Path) -> PathBuf {
    let file = dir.join("retention.toml");
    let rule =
        "[[rules]]\nname = \"old\"\ntargets = [\"app_*\"]\nkeep_last = 1\nremove_after_days = 1\nmode = \"enforce\"\n";
    std::fs::write(&file, rule).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commands_cannot_reach_or_does_not_fit_ends_with_2_and_is_left_as_it_is() {
    let Some((postgres, weed, _keys, settings)) = servers().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], settings: &[(&'static str, String)]| {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let done = command_with(dir.path(), arguments, &settings);
        nothing_is_secret_in(std::slice::from_ref(&done.err));
        done
    };
    for arguments in [&["verify"][..], &["gc"], &["purge"], &["events"], &["retention", "explain"], &["backup", "x"]] {
        let refused = run(arguments, &settings);
        assert_eq!((refused.code(), refused.out.as_str()), (2, ""));
        assert!(refused.err.contains("the database holds no catalog"), "{}", refused.err);
    }
    let mut connection = PgConnection::connect(&postgres.address()).await.unwrap();
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(tables, 0, "nothing is made");

    let source = FakeSource::serving(package_of("x")).await;
    start(&source, &dir.path().join("store"), &settings).stop();
    sqlx::query("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")
        .execute(&mut connection)
        .await
        .unwrap();
    let refused = run(&["verify"], &settings);
    assert!(refused.code() == 2 && refused.err.contains("of an earlier release"), "{}", refused.err);
    drop(weed);
    let unreachable: Vec<_> = settings
        .iter()
        .map(|(name, value)| match *name {
            "LINKGATE_DATABASE_URL" => (*name, "postgres://user:hunter2@127.0.0.1:1/none".to_owned()),
            _ => (*name, value.clone()),
        })
        .collect();
    let refused = run(&["events"], &unreachable);
    assert!(refused.code() == 2 && !refused.err.contains("hunter2"), "{}", refused.err);
}
