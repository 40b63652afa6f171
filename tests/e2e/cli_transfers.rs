//! Transfers of the command line that do not go smoothly: cut, killed, interrupted, and resumed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use linkgate_tests::gateway::{APP, Gateway, GatewayPlan};
use linkgate_tests::process::binary;
use linkgate_tests::{Behaviour, FakeSource, package_of_size, random, sha256_hex, wait_until_holds};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::{Desk, finish};
use crate::killable::KillableStack;

/// More than any buffer on the way holds.
const LARGE: usize = 8 << 20;

/// A way to the gateway that is cut for good after so many bytes of replies.
struct CutWay {
    base: String,
}

impl CutWay {
    async fn open(gateway: &Gateway, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/stag", listener.local_addr().unwrap());
        let (left, target) = (Arc::new(AtomicU64::new(bytes)), gateway.address());
        tokio::spawn(async move {
            while left.load(Ordering::Relaxed) > 0 {
                let Ok((caller, _)) = listener.accept().await else { return };
                let left = Arc::clone(&left);
                tokio::spawn(async move { pass(caller, TcpStream::connect(target).await.unwrap(), &left).await });
            }
        });
        Self { base }
    }
}

async fn pass(mut caller: TcpStream, mut gateway: TcpStream, left: &AtomicU64) {
    let (mut from_caller, mut to_caller) = caller.split();
    let (mut from_gateway, mut to_gateway) = gateway.split();
    let replies = async {
        let mut piece = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from_gateway.read(&mut piece).await {
            let may = usize::try_from(left.load(Ordering::Relaxed)).unwrap().min(read);
            left.fetch_sub(may as u64, Ordering::Relaxed);
            if to_caller.write_all(&piece[..may]).await.is_err() || may < read {
                return;
            }
        }
    };
    tokio::select! {
        () = replies => {}
        _ = tokio::io::copy(&mut from_caller, &mut to_gateway) => {}
    }
}

#[tokio::test]
async fn a_pull_that_was_cut_resumes_where_it_was() {
    let desk = Desk::new().await;
    let package = package_of_size(LARGE);
    std::fs::write(desk.path("large.tar.gz"), &package).unwrap();
    desk.json(&["push", "large.tar.gz", "--version", "1.0"]).await;
    let cuts = [1, 50, 99].map(|percent| {
        let (desk, package) = (&desk, &package);
        async move {
            let bytes = (package.len() * percent / 100) as u64;
            let way = CutWay::open(desk.stack.gateway(), bytes).await;
            let name = format!("cut-{percent}.tar.gz");
            let error = desk.fail(&["pull", "1", "-o", &name, "--gateway", &way.base], 9).await;
            assert!(error["next"].as_str().unwrap().contains("resumes from"), "{error}");
            assert!(!desk.path(&name).exists(), "what is not whole does not have the name");
            let pulled = desk.json(&["pull", "1", "-o", &name]).await;
            let resumed_from = pulled["resumed_from"].as_u64().unwrap();
            // The heads of replies count for the way, and not for the file.
            assert!(resumed_from > 0 && resumed_from <= bytes && resumed_from + 8_192 > bytes, "{pulled}, {bytes}");
            assert_eq!(sha256_hex(&std::fs::read(desk.path(&name)).unwrap()), sha256_hex(package));
        }
    });
    futures_util::future::join_all(cuts).await;
    let left = std::fs::read_dir(desk.folder.path()).unwrap();
    assert!(left.into_iter().all(|entry| !entry.unwrap().file_name().to_string_lossy().ends_with(".part")));
}

#[tokio::test]
async fn a_part_with_other_bytes_is_found_out() {
    let desk = Desk::new().await;
    let pushed = desk.json(&["push", "app.tar.gz", "--version", "1.0"]).await;
    let digest = pushed["sha256_signature"].as_str().unwrap();
    let part = desk.path(&format!("got.tar.gz.{}.part", &digest[..16]));
    std::fs::write(&part, "other bytes").unwrap();
    assert_eq!(desk.fail(&["pull", "1", "-o", "got.tar.gz"], 10).await["kind"], "mismatch");
    assert!(!part.exists() && !desk.path("got.tar.gz").exists());
    assert_eq!(desk.json(&["pull", "1", "-o", "got.tar.gz"]).await["resumed_from"], 0);
}

#[tokio::test]
async fn nobody_waits_and_the_job_is_shown_watched_and_cancelled() {
    let desk = Desk::new().await;
    let source = desk.stack.source();
    let held = desk.stack.link_to("/held.tar.gz", Behaviour::Held(package_of_size(1 << 20)));
    let begun = desk.json(&["push", &held, "--version", "1.0", "--no-wait"]).await;
    let job = begun["job_id"].as_str().unwrap();
    let mut shown = Value::Null;
    wait_until_holds("the download", async || {
        shown = desk.json(&["job", "show", job]).await;
        shown["state"] == "fetching"
    })
    .await;
    let cancelled = desk.json(&["job", "cancel", job]).await;
    assert_eq!((&cancelled["state"], &cancelled["error"]["code"]), (&json!("cancelled"), &json!("UPLOAD_CANCELLED")));
    assert_eq!(desk.fail(&["job", "watch", job], 6).await["code"], "UPLOAD_CANCELLED");
    let begun = desk.json(&["push", &held, "--version", "1.0", "--no-wait"]).await;
    source.release();
    let watched = desk.json(&["job", "watch", begun["job_id"].as_str().unwrap()]).await;
    assert_eq!(watched["version"], "1.0");
    let said = desk.run(&["job", "cancel", begun["job_id"].as_str().unwrap()]).await;
    assert_eq!(said.code, Some(6), "it was too late: {said:?}");
}

#[tokio::test]
async fn whoever_waits_no_longer_is_told_that_it_goes_on() {
    let desk = Desk::new().await;
    let held = desk.stack.link_to("/held.tar.gz", Behaviour::Held(package_of_size(1 << 20)));
    let error = desk.fail(&["push", &held, "--version", "1.0", "--wait-timeout", "300ms"], 3).await;
    assert_eq!(error["kind"], "unconfirmed");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("not ended after 300ms; the upload goes on as job "), "{error}");
    let job = message.split(' ').find(|word| word.starts_with("01") && word.len() > 30).unwrap().trim_end_matches(',');
    assert!(error["next"].as_str().unwrap().contains(&format!("linkgate job watch {job}")), "{error}");
    assert_eq!(desk.fail(&["job", "watch", job, "--wait-timeout", "1ms"], 3).await["kind"], "unconfirmed");
    desk.stack.source().release();
    assert_eq!(desk.json(&["job", "watch", job, "--wait-timeout", "10m"]).await["version"], "1.0");
}

/// A run that goes on while a test does something else.
fn begin(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn end(child: Child) -> (Option<i32>, String, String) {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// What a push says until it watches its upload, and where it goes on.
async fn read_until_fetching(child: &mut Child) -> (BufReader<ChildStderr>, String) {
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let read = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        while !said.contains("fetching") {
            assert!(errors.read_line(&mut said).unwrap() > 0, "{said}");
        }
        (errors, said)
    });
    read.await.unwrap()
}

#[tokio::test]
async fn whoever_interrupts_a_push_is_told_that_it_goes_on() {
    let desk = Desk::new().await;
    let held = desk.stack.link_to("/held.tar.gz", Behaviour::Held(package_of_size(1 << 20)));
    let mut child = begin(desk.command(&["push", &held, "--version", "1.0"]));
    let (mut errors, mut err) = read_until_fetching(&mut child).await;
    interrupt(&child);
    let (code, out, _) = end(child).await;
    errors.read_to_string(&mut err).unwrap();
    assert_eq!((code, out.as_str()), (Some(130), ""), "{err}");
    let line = err.lines().find(|line| line.contains("the upload goes on as job ")).unwrap();
    let job = line.rsplit(' ').next().unwrap().to_owned();
    assert!(err.contains(&format!("linkgate job watch {job}")) && err.contains(&format!("linkgate job cancel {job}")));
    desk.stack.source().release();
    assert_eq!(desk.json(&["job", "watch", &job]).await["version"], "1.0");
}

#[tokio::test]
async fn a_file_that_is_interrupted_leaves_nothing() {
    let desk = Desk::new().await;
    let mut command = desk.command(&["push", "-", "--version", "1.0"]);
    command.stdin(Stdio::piped());
    let mut child = begin(command);
    let mut input = child.stdin.take().unwrap();
    let piece = package_of_size(1 << 20);
    let sent = tokio::task::spawn_blocking(move || {
        std::io::Write::write_all(&mut input, &piece[..piece.len() / 2]).unwrap();
        input
    });
    // Held open: the rest does not come.
    let _input = sent.await.unwrap();
    wait_until_holds("the file", async || !desk.stack.directory().temp_files().is_empty()).await;
    interrupt(&child);
    let (code, _, err) = end(child).await;
    assert_eq!(code, Some(130), "{err}");
    assert!(err.contains("nothing is stored of a file that was cut off"), "{err}");
    wait_until_holds("the end", async || desk.stack.directory().temp_files().is_empty()).await;
    assert!(desk.stack.directory().rows().await.is_empty());
}

#[tokio::test]
async fn a_push_goes_on_over_a_store_that_is_killed() {
    let package = package_of_size(3 << 20);
    let source = FakeSource::start(Behaviour::Held(package.clone())).await;
    let mut stack = KillableStack::start(&source).await;
    let gateway = &stack.gateway;
    let mut command = Command::new(binary("linkgate"));
    command.args(["push", &source.url(), "--version", "1.0", "--json", "--progress", "json"]).env_clear();
    command.env("LINKGATE_GATEWAY_URL", format!("{}/stag", gateway.base())).env("LINKGATE_APP_CODE", APP);
    command.env("LINKGATE_APP_SECRET", &gateway.credentials().secret);
    command.env("LINKGATE_BK_TICKET", &gateway.credentials().ticket).env("LINKGATE_APP", "app_code");
    let mut child = begin(command);
    source.wait_for_requests(1).await;
    wait_until_holds("the download", async || !stack.store.directory().temp_files().is_empty()).await;
    let (mut errors, mut err) = read_until_fetching(&mut child).await;
    stack.store.kill_9();
    stack.start_store_again();
    source.wait_for_requests(2).await;
    source.release();
    let (code, out, _) = end(child).await;
    errors.read_to_string(&mut err).unwrap();
    assert_eq!(code, Some(0), "{err}");
    let pushed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(pushed["sha256_signature"], sha256_hex(&package));
    assert!(err.contains("trying again in"), "whoever waits is told: {err}");
    assert_eq!(stack.store.stored_files(), [sha256_hex(&package)]);
}

#[tokio::test]
async fn a_signature_serves_in_the_place_of_the_secret() {
    let identity = linkgate_tests::Identity::start().await;
    let stack = crate::replies::WholeStack::under(GatewayPlan::new().asking(&identity), &[], &[], |policy, _| {
        policy["identity"] = json!({"bkauth": {"cluster": "bkauth"}});
        policy["grants"][0]["actions"] = json!("*");
    })
    .await;
    let secret = identity.add_app("signer");
    let command = |arguments: &[&str], secret: &str| {
        let mut command = Command::new(binary("linkgate"));
        command.args(arguments).args(["--auth", "signature", "--json"]).env_clear();
        command.env("LINKGATE_GATEWAY_URL", format!("{}/stag", stack.base())).env("LINKGATE_APP", "app_code");
        command.env("LINKGATE_APP_CODE", "signer").env("LINKGATE_APP_SECRET", secret);
        command.env("LINKGATE_BK_TICKET", &stack.gateway().credentials().ticket);
        command
    };
    for arguments in [
        &["push", &stack.source().url(), "--version", "1.0 beta+1"][..],
        &["list", "--search", "beta+1 1.0"],
        &["pin", "1", "--name", "prod"],
        &["unpin", "1", "--name", "prod"],
        &["rm", "1"],
        &["restore", "1"],
    ] {
        let said = finish(command(arguments, &secret)).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
    }
    let said = finish(command(&["usage"], &random())).await;
    assert_eq!(said.code, Some(4), "{said:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tgz");
    std::fs::write(&file, "x").unwrap();
    let said = finish(command(&["push", file.to_str().unwrap(), "--version", "2"], &secret)).await;
    assert!(said.code == Some(2) && said.err.contains("cannot be signed"), "{said:?}");
    assert!(!stack.gateway().log().contains(&secret));
}
