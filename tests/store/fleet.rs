//! Stores that share a database are seen with what they do, and told apart from those that stand still or are gone.

use std::path::Path;
use std::process::Command;

use linkgate_tests::process::{Finished, command, command_with};
use linkgate_tests::{Behaviour, FakeSource, StoreProcess, package_of, wait_until};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::shared::{nothing_is_secret_in, servers, start};

type Settings = [(&'static str, String)];

fn run(dir: &Path, arguments: &[&str], settings: &Settings) -> Finished {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let done = command_with(dir, arguments, &settings);
    nothing_is_secret_in(&[done.out.clone(), done.err.clone()]);
    done
}

/// The replicas, and how many jobs are in which state.
fn replicas(dir: &Path, settings: &Settings) -> (Vec<Value>, Value) {
    let said = run(dir, &["replicas", "--json"], settings);
    assert_eq!(said.code(), 0);
    let mut lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let jobs = lines.pop().unwrap();
    (lines, jobs["jobs"].clone())
}

fn of<'r>(replicas: &'r [Value], store: &StoreProcess) -> Option<&'r Value> {
    let address = store.base().strip_prefix("http://").unwrap();
    replicas.iter().find(|replica| replica["address"] == address)
}

async fn until_state(dir: &Path, settings: &Settings, store: &StoreProcess, state: &str) {
    wait_until(async || {
        let (all, _) = replicas(dir, settings);
        match of(&all, store) {
            Some(replica) if replica["state"] == state => Ok(()),
            other => Err(format!("{other:?} is not {state}")),
        }
    })
    .await;
}

fn signal(store: &StoreProcess, signal: &str) {
    assert!(Command::new("kill").args([signal, &store.pid().to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_seen_with_their_jobs_until_they_end() {
    let Some((postgres, _weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::start(Behaviour::Held(package_of("x"))).await);
    let operator = dir.path().join("operator");
    let one = start(&source, &dir.path().join("one"), &settings);
    let other = start(&source, &dir.path().join("other"), &settings);
    let request = one.request(source.url()).version("1").header("prefer", "respond-async").in_english();
    assert_eq!(one.send(request).await.status, 202);
    source.wait_for_requests(1).await;

    let (all, jobs) = replicas(&operator, &settings);
    assert_eq!(all.len(), 2, "{all:?}");
    let host = String::from_utf8(Command::new("uname").arg("-n").output().unwrap().stdout).unwrap();
    for (store, claimed) in [(&one, 1), (&other, 0)] {
        let replica = of(&all, store).unwrap();
        assert_eq!((&replica["state"], &replica["claimed"]), (&json!("running"), &json!(claimed)), "{replica}");
        assert_eq!((&replica["host"], &replica["version"]), (&json!(host.trim()), &json!(env!("CARGO_PKG_VERSION"))));
    }
    assert_ne!(all[0]["holder"], all[1]["holder"]);
    // As long as a scrub takes.
    let mut connection = PgConnection::connect(&postgres.address()).await.unwrap();
    let busy = "insert into maintenance_lease (task, process, lease_until, begun_at)
        values ('scrub', $1::uuid, clock_timestamp() + interval '1 hour', clock_timestamp())
        on conflict (task) do update set process = excluded.process, lease_until = excluded.lease_until";
    let holder = of(&all, &other).unwrap()["holder"].as_str().unwrap().to_owned();
    sqlx::query(busy).bind(holder).execute(&mut connection).await.unwrap();
    let (all, _) = replicas(&operator, &settings);
    let does = |store| of(&all, store).unwrap()["chores"].as_array().unwrap().contains(&json!("scrub"));
    assert_eq!((does(&one), does(&other)), (false, true), "{all:?}");
    assert_eq!((&jobs["claimed"], &jobs["waiting"], &jobs["done"]), (&json!(1), &json!(0), &json!(0)), "{jobs}");
    let words = run(&operator, &["replicas"], &settings);
    assert_eq!((words.code(), words.out.lines().count()), (0, 3), "{}", words.out);
    assert!(words.out.contains("2 replicas; jobs: waiting 0, ready 0, claimed 1"), "{}", words.out);

    source.release();
    other.stop();
    let (left, _) = replicas(&operator, &settings);
    assert!(left.len() == 1 && of(&left, &one).is_some(), "who ends in good order takes it back: {left:?}");
    one.stop();
    let (left, jobs) = replicas(&operator, &settings);
    assert_eq!((left, &jobs["done"]), (vec![], &json!(1)), "{jobs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_is_silent_and_who_was_killed_is_gone_and_forgotten() {
    let Some((postgres, _weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let operator = dir.path().join("operator");
    let mut killed = start(&source, &dir.path().join("killed"), &settings);
    let stopped = start(&source, &dir.path().join("stopped"), &settings);
    killed.kill_9();
    signal(&stopped, "-STOP");
    until_state(&operator, &settings, &stopped, "silent").await;
    until_state(&operator, &settings, &killed, "silent").await;
    signal(&stopped, "-CONT");
    until_state(&operator, &settings, &stopped, "running").await;

    let mut connection = PgConnection::connect(&postgres.address()).await.unwrap();
    let mut age = async |by: &'static str| {
        let address = killed.base().strip_prefix("http://").unwrap();
        let text = "update replica set seen_at = seen_at - $2::interval where address = $1";
        sqlx::query(text).bind(address).bind(by).execute(&mut connection).await.unwrap();
    };
    age("10 minutes").await;
    until_state(&operator, &settings, &killed, "gone").await;
    age("1 day").await;
    // Whoever begins forgets it.
    let third = start(&source, &dir.path().join("third"), &settings);
    let (all, _) = replicas(&operator, &settings);
    assert!(all.len() == 2 && of(&all, &third).is_some() && of(&all, &stopped).is_some(), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_restored_below_a_store_that_serves() {
    let Some((_postgres, weed, _keys, settings)) = servers().await else { return };
    let (dir, source) = (tempfile::tempdir().unwrap(), FakeSource::serving(package_of("x")).await);
    let [data, saved, operator] = ["data", "saved", "operator"].map(|name| dir.path().join(name));
    StoreProcess::trusting(&source, &data, &[]).stop();
    assert_eq!(command(&data, &["backup", saved.to_str().unwrap()]).code(), 0);
    let store = start(&source, &dir.path().join("store"), &settings);
    let refused = run(&operator, &["restore", saved.to_str().unwrap()], &settings);
    assert!(refused.code() == 2 && refused.err.contains("stores serve on the database"), "{}", refused.err);
    store.stop();
    assert_eq!(run(&operator, &["restore", saved.to_str().unwrap()], &settings).code(), 0);
    assert_eq!(weed.objects().await, Vec::<String>::new(), "there was nothing in it");
}

#[tokio::test]
async fn a_data_directory_has_no_replicas() {
    let dir = tempfile::tempdir().unwrap();
    let refused = command(dir.path(), &["replicas"]);
    assert!(refused.code() == 64 && refused.err.contains("LINKGATE_DATABASE_URL is not set"), "{}", refused.err);
}
