//! The command line against a real Envoy and store: every command, as people and programs read it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use linkgate_tests::gateway::{APP, GatewayPlan, Said, USER};
use linkgate_tests::process::binary;
use linkgate_tests::whole::package;
use linkgate_tests::{FakeSource, WholeStack, package_of, sha256_hex};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A stack whose callers may do everything, and a folder in which the command line runs for one of them.
pub struct Desk {
    pub stack: WholeStack,
    pub folder: TempDir,
}

impl Desk {
    pub async fn new() -> Self {
        Self::under(|_, _| ()).await
    }

    /// The same under a changed policy.
    pub async fn under(change: impl FnOnce(&mut Value, &FakeSource)) -> Self {
        let stack = WholeStack::under(GatewayPlan::new(), &[], &[], |policy, source| {
            policy["grants"][0]["actions"] = json!("*");
            policy["limits"]["uri_bytes"] = 4_096.into();
            change(policy, source);
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.tar.gz"), package()).unwrap();
        Self { stack, folder }
    }

    /// A run of the command line, with credentials in its environment and no terminal.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let credentials = self.stack.gateway().credentials();
        let mut command = Command::new(binary("linkgate"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.folder.path());
        command.env("LINKGATE_GATEWAY_URL", format!("{}/stag", self.stack.base()));
        command.env("LINKGATE_APP_CODE", APP).env("LINKGATE_APP", "app_code");
        command.env("LINKGATE_APP_SECRET", &credentials.secret).env("LINKGATE_BK_TICKET", &credentials.ticket);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments)).await
    }

    /// Runs what must succeed, and reads its JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let said = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    }

    /// Runs what must fail with this code; gives the error as programs read it.
    pub async fn fail(&self, arguments: &[&str], code: i32) -> Value {
        let said = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{arguments:?}: {said:?}");
        let line = said.err.lines().last().unwrap_or_default();
        let mut error: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        assert_eq!(error["error"]["exit_code"], code, "{error}");
        error["error"].take()
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// Runs a command to its end without keeping the runtime from its work.
pub async fn finish(mut command: Command) -> Said {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The same, with something on its standard input.
pub async fn finish_with(mut command: Command, input: Vec<u8>) -> Said {
    let run = move || {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input closes the pipe; that is its right.
        let _ = child.stdin.take().unwrap().write_all(&input);
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn entries(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_package_lives_its_life_by_the_command_line() {
    let desk = Desk::new().await;
    let pushed = desk.json(&["push", "app.tar.gz", "--version", "1.0"]).await;
    assert_eq!((&pushed["id"], &pushed["package_name"]), (&json!(1), &json!("app.tar.gz")));
    let linked = desk.json(&["push", &desk.stack.source().url(), "--version", "1.1"]).await;
    assert_eq!((&linked["id"], &linked["operator"]), (&json!(2), &json!(USER)));

    let listed = desk.json(&["list", "--order-by", "-version_natural", "--limit", "1"]).await;
    assert_eq!((&listed["count"], &listed["results"][0]["version"]), (&json!(2), &json!("1.1")));
    let all = desk.json(&["list", "--limit", "0"]).await;
    assert_eq!(all["results"].as_array().unwrap().len(), 2);
    let shown = desk.json(&["show", "--version", "1.0"]).await;
    assert_eq!((&shown["id"], &shown["format"]), (&json!(1), &json!("tar.gz")));

    let pin = desk.json(&["pin", "1", "--name", "prod", "--until", "2100-01-01 00:00:00", "--protect-bytes"]).await;
    assert_eq!((&pin["name"], &pin["protect_bytes"]), (&json!("prod"), &json!(true)));
    assert_eq!(desk.fail(&["rm", "1"], 6).await["code"], "PACKAGE_IN_USE");
    assert_eq!(desk.json(&["unpin", "1", "--name", "prod"]).await["name"], "prod");
    assert_eq!(desk.fail(&["rm", "1", "--if-match", "1.99"], 6).await["code"], "PRECONDITION_FAILED");
    assert_eq!(desk.json(&["rm", "1"]).await["is_deleted"], true);
    assert_eq!(desk.fail(&["pull", "1"], 5).await["code"], "PACKAGE_DELETED");
    let restored = desk.json(&["restore", "1", "--as-version", "1.0-again"]).await;
    assert_eq!((&restored["is_deleted"], &restored["version"]), (&json!(false), &json!("1.0-again")));

    let usage = desk.json(&["usage"]).await;
    assert_eq!(usage["module"]["packages"], 2);
    let events = desk.json(&["events", "--package", "1", "--limit", "0"]).await;
    let actions: Vec<_> = events["results"].as_array().unwrap().iter().filter_map(|e| e["action"].as_str()).collect();
    assert_eq!(actions, ["restore", "delete", "unpin", "delete_refused", "pin", "upload"]);
    assert_eq!(desk.json(&["cleanup", "plan"]).await["rule"], Value::Null);
    assert_eq!(desk.fail(&["cleanup", "run", "no-plan"], 6).await["code"], "PLAN_CHANGED");
}

#[tokio::test]
async fn people_read_tables_and_nothing_else_stands_on_standard_output() {
    let desk = Desk::new().await;
    let said = desk.run(&["push", "app.tar.gz", "--version", "1.0"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.starts_with("id:      1\nversion: 1.0\nname:    app.tar.gz\n"), "{said:?}");
    assert!(said.err.contains("app.tar.gz stored: "), "{said:?}");
    let quiet = desk.run(&["push", "app.tar.gz", "--version", "2.0", "--quiet"]).await;
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    let said = desk.run(&["list"]).await;
    let lines: Vec<_> = said.out.lines().collect();
    assert!(lines[0].starts_with("ID  VERSION  NAME ") && lines.len() == 3, "{said:?}");
    for (arguments, expected) in [
        (&["show", "1"][..], "state:    1.1"),
        (&["usage"], "app_code/default"),
        (&["events"], "upload"),
        (&["cleanup", "plan"], "rule: -"),
    ] {
        let said = desk.run(arguments).await;
        assert!(said.code == Some(0) && said.out.contains(expected) && said.err.is_empty(), "{arguments:?}: {said:?}");
        assert!(!said.out.contains('\u{1b}'), "{said:?}");
    }
    let said = desk.run(&["pull", "--version", "2.0", "-o", "got.tar.gz"]).await;
    assert!(said.code == Some(0) && said.out.contains("file:         got.tar.gz"), "{said:?}");
    assert_eq!(std::fs::read(desk.path("got.tar.gz")).unwrap(), package());
}

#[tokio::test]
async fn a_package_comes_as_a_file_with_its_name_into_a_folder_and_to_standard_output() {
    let desk = Desk::new().await;
    desk.json(&["push", "app.tar.gz", "--version", "1.0"]).await;
    std::fs::create_dir(desk.path("into")).unwrap();
    let pulled = desk.json(&["pull", "1", "-o", "into"]).await;
    assert_eq!((&pulled["path"], &pulled["sha256"]), (&json!("into/app.tar.gz"), &json!(sha256_hex(&package()))));
    assert_eq!(entries(&desk.path("into")), ["app.tar.gz"]);
    let again = desk.fail(&["pull", "1", "-o", "into"], 2).await;
    assert!(again["next"].as_str().unwrap().contains("--force"), "{again}");
    desk.json(&["pull", "1", "-o", "into", "--force"]).await;
    let other = "0".repeat(64);
    assert_eq!(desk.fail(&["pull", "1", "-o", "x", "--sha256", &other], 10).await["kind"], "mismatch");
    assert!(!desk.path("x").exists());
    let mut command = desk.command(&["pull", "1", "-o", "-", "--quiet"]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!((output.status.code(), output.stdout == package()), (Some(0), true));
}

#[tokio::test]
async fn standard_input_and_many_files_are_pushed() {
    let desk = Desk::new().await;
    let command = desk.command(&["push", "-", "--version", "1.0", "--name", "piped.tar.gz", "--json"]);
    let said = finish_with(command, package_of("piped")).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let pushed: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(pushed["sha256_signature"], sha256_hex(&package_of("piped")));
    let names: Vec<_> = (0..12).map(|number| format!("2.{number}.tar.gz")).collect();
    for name in &names {
        std::fs::write(desk.path(name), package_of(name)).unwrap();
    }
    std::fs::write(desk.path("2.5.tar.gz"), "no archive").unwrap();
    let mut arguments = vec!["push", "--version-from-name"];
    arguments.extend(names.iter().map(String::as_str));
    let said = desk.run(&arguments).await;
    assert_eq!(said.code, Some(1), "one of them is no package: {said:?}");
    assert!(said.err.contains("2.5.tar.gz: PACKAGE_FORMAT_UNSUPPORTED"), "{said:?}");
    let listed = desk.json(&["list", "--search", "2."]).await;
    assert_eq!(listed["count"], 11);
    let again = desk.run(&["push", "2.1.tar.gz", "2.2.tar.gz", "--version-from-name", "--if-missing"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[tokio::test]
async fn a_link_for_others_is_the_only_line_and_works() {
    let desk = Desk::new().await;
    let mut policy = desk.stack.policy().clone();
    let key = std::fs::read_to_string(desk.stack.directory().path().join("signed-urls.pub.pem")).unwrap();
    policy["signed_urls"] = json!({"keys": [key]});
    desk.stack.gateway().deploy(&policy).await.unwrap();
    desk.json(&["push", "app.tar.gz", "--version", "1.0"]).await;
    let said = desk.run(&["url", "1", "--expires-in", "10m", "--client-ip", "127.0.0.0/8"]).await;
    assert_eq!((said.code, said.out.lines().count()), (Some(0), 1), "{said:?}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let reply = client.get(said.out.trim_end()).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.bytes().await.unwrap() == package()), (200, true));
}

#[tokio::test]
async fn a_file_is_held_against_its_statement_and_a_key() {
    let desk = Desk::new().await;
    desk.json(&["push", &desk.stack.source().url(), "--version", "1.0"]).await;
    let key = desk.stack.directory().path().join("attestation.pub.pem");
    let key = key.to_str().unwrap();
    let verified = desk.json(&["verify", "app.tar.gz", "--key", key, "--id", "1"]).await;
    assert_eq!((&verified["verified"], &verified["sha256"]), (&json!(true), &json!(sha256_hex(&package()))));
    assert_eq!(verified["keyid"].as_str().map(str::len), Some(64));
    std::fs::write(desk.path("other.tar.gz"), package_of("other")).unwrap();
    let other = desk.fail(&["verify", "other.tar.gz", "--key", key, "--version", "1.0"], 10).await;
    assert!(other["message"].as_str().unwrap().contains(&sha256_hex(&package_of("other"))), "{other}");
    let stranger = desk.stack.directory().path().join("signed-urls.pub.pem");
    assert_eq!(
        desk.fail(&["verify", "app.tar.gz", "--key", stranger.to_str().unwrap(), "--id", "1"], 10).await["kind"],
        "mismatch"
    );
    // Without the gateway: from the line that the store writes.
    let digest = sha256_hex(&package());
    let line = desk.stack.directory().path().join(format!("attestations/{}/{digest}.intoto.jsonl", &digest[..2]));
    let mut command = desk.command(&["verify", "app.tar.gz", "--key", key, "--statement", line.to_str().unwrap()]);
    command.env("LINKGATE_GATEWAY_URL", "http://127.0.0.1:1").env_remove("LINKGATE_APP_SECRET");
    let said = finish(command).await;
    assert!(said.code == Some(0) && said.out.contains("verified:  app.tar.gz"), "{said:?}");
}

#[tokio::test]
async fn a_login_says_what_one_may_do_and_changes_nothing() {
    let desk = Desk::under(|policy, _| policy["grants"][0]["actions"] = json!(["upload", "read", "pin"])).await;
    let found = desk.json(&["login"]).await;
    assert_eq!((&found["app_code"], &found["module"]), (&json!(APP), &json!("app_code/default")));
    for (action, may) in [("read", true), ("upload", true), ("pin", true), ("download", false), ("force_delete", false)]
    {
        assert_eq!(found["actions"][action], may, "{found}");
    }
    assert!(desk.stack.directory().events().await.is_empty());

    let secret = desk.stack.gateway().credentials().secret.clone();
    let mut command = desk.command(&["login", "--save", "prod", "--module", "default"]);
    command.env_remove("LINKGATE_APP_SECRET");
    let said = finish_with(command, format!("{secret}\n").into_bytes()).await;
    assert!(said.code == Some(0) && !format!("{said:?}").contains(&secret), "{said:?}");
    // From now on the profile is enough, but for the user.
    let mut command = Command::new(binary("linkgate"));
    command.args(["usage", "--json"]).env_clear().env("HOME", desk.folder.path());
    command.env("LINKGATE_BK_TICKET", &desk.stack.gateway().credentials().ticket);
    let said = finish(command).await;
    assert_eq!(said.code, Some(0), "{said:?}");
}
