//! The console in a real browser, through a real Envoy: signed in, uploaded, looked at, deleted, restored, pinned, cleaned up.
//!
//! What the browser does and what must come of it stands in `tests/e2e/browser/*.mjs`. Where there is no browser, or what drives
//! it could not be had, the tests say so and pass.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use linkgate_tests::gateway::path_from;
use linkgate_tests::{Behaviour, FakeSource, SigningKeys, another_package_of_size, package_of_size};
use serde_json::{Value, json};

use crate::killable::KillableStack;

const CONTACT: &str = "platform-team@example.com";
const RETENTION: &str = "[[rules]]\nname = \"last\"\ntargets = [\"*\"]\nmode = \"report\"\nkeep_last = 1\n";

/// The folder that has what drives the browser.
fn node_modules() -> Option<PathBuf> {
    let modules = std::env::var_os("LINKGATE_NODE_MODULES").map(PathBuf::from);
    if modules.is_none() {
        println!(
            "not tried: LINKGATE_NODE_MODULES is not set; `cargo xtask test` sets it where Chromium, Node.js and packages can be had"
        );
    }
    modules
}

/// A stack whose policy has a console, for users without an application.
struct Console {
    stack: KillableStack,
    source: FakeSource,
    folder: tempfile::TempDir,
    _keys: SigningKeys,
}

impl Console {
    async fn start() -> Self {
        let (source, folder) = (FakeSource::serving(package_of_size(20_000)).await, tempfile::tempdir().unwrap());
        let half = another_package_of_size(400_000);
        let pieces: Vec<Arc<[u8]>> = half.chunks(50_000).map(Arc::from).collect();
        source.on("/slow-2.0.tar.gz", Behaviour::Pieces(pieces.into(), Duration::from_millis(700)));
        source.on("/broken-3.0.tar.gz", Behaviour::Bytes(b"no archive at all".to_vec()));
        let rules = folder.path().join("retention.toml");
        std::fs::write(&rules, RETENTION).unwrap();
        let keys = SigningKeys::generate();
        let [(_, _), (name, key)] = keys.settings();
        let settings = [("LINKGATE_RETENTION_FILE", rules.to_str().unwrap()), (name, key.as_str())];
        let stack = KillableStack::under(&source, &settings, |policy| {
            policy["routes"]["console"] = json!({"login_url": "/login/?c_url={url}", "contact": CONTACT});
            let people = json!({"name": "people", "callers": [""], "users": ["admin"], "targets": ["app_code"], "actions": ["*"]});
            policy["grants"][0]["callers"] = json!(["?*"]);
            policy["signed_urls"] = json!({"keys": [std::fs::read_to_string(keys.path("urls.pub")).unwrap()]});
            policy["limits"]["uri_bytes"] = 4_096.into();
            policy["grants"].as_array_mut().unwrap().push(people);
        });
        Self { stack: stack.await, source, folder, _keys: keys }
    }

    /// What a script is told.
    fn task(&self) -> Value {
        let file = self.folder.path().join("file-4.0.tar.gz");
        std::fs::write(&file, package_of_size(300_000)).unwrap();
        json!({
            "gateway": self.stack.gateway.base(),
            "bk_token": self.stack.gateway.credentials().token,
            "source": format!("http://{}", self.source.host()),
            "file": file,
            "contact": CONTACT,
            "pictures": path_from("LINKGATE_ROOT").join("target/console"),
        })
    }

    /// Runs one of the scripts, and does what it asks for meanwhile.
    fn drive(&mut self, modules: &Path, script: &str) {
        let mut command = Command::new("node");
        command.arg(path_from("LINKGATE_ROOT").join("tests/e2e/browser").join(script));
        command.env("LINKGATE_NODE_MODULES", modules).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{}", self.task()).unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.strip_prefix("! ") {
                Some("kill the store") => self.stack.store.kill_9(),
                Some("start the store") => self.stack.start_store_again(),
                _ => {
                    said.push(line);
                    continue;
                }
            }
            writeln!(input, "done").unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}\n{}", said.join("\n"), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.last().map(String::as_str), Some("all was seen"), "{said:?}");
    }
}

/// Runs a script against a stack of its own.
async fn see(script: &str) {
    let Some(modules) = node_modules() else { return };
    let mut console = Console::start().await;
    tokio::task::block_in_place(|| console.drive(&modules, script));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_uploads_looks_changes_and_cleans_up() {
    see("walk.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_can_be_read_without_a_script() {
    see("without_script.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_can_do_nothing_and_an_expired_sign_in_is_told() {
    see("hostile.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_upload_is_shown_to_its_end_although_the_store_is_killed() {
    see("restart.mjs").await;
}
