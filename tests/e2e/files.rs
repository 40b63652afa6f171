//! Files that callers send, through Envoy: real clients, what the gate judges, and what is left of a body that is cut off.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use linkgate_tests::file::{Form, PACKAGES};
use linkgate_tests::gateway::GatewayPlan;
use linkgate_tests::http1::Message;
use linkgate_tests::signature::signed_target_of;
use linkgate_tests::token::now_s;
use linkgate_tests::{LinkRequestBuilder, ServiceBehaviour, package_of, package_of_size, sha256_hex, wait_until_holds};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::platform::{ANNA, CI, Platform};
use crate::replies::{WholeStack, assert_envelope, assert_not_authenticated};

/// More than any buffer on the way holds.
const LARGE: usize = 8 << 20;

fn packages() -> String {
    format!("/stag{PACKAGES}")
}

fn bare(stack: &WholeStack, query: &str, bytes: &[u8]) -> LinkRequestBuilder {
    stack.request("").bare_file(query, bytes).path(format!("{}?{query}", packages()))
}

/// What a client printed, which must be JSON.
#[track_caller]
fn package_printed(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text} {error}"))
}

fn has(program: impl AsRef<Path>, arguments: &[&str]) -> bool {
    let program = program.as_ref();
    let found = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !found {
        println!("{} {arguments:?} is missing: not tried", program.display());
    }
    found
}

/// The one with the packages that `cargo xtask test` could get.
fn python3() -> PathBuf {
    std::env::var_os("LINKGATE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// Command lines of real clients.
struct Clients {
    authorization: String,
    file: String,
    base: String,
}

impl Clients {
    fn curl(&self, more: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["-sS", "-H", &format!("X-Bkapi-Authorization: {}", self.authorization)]).args(more);
        command
    }

    /// With `f` for the file and `h` for the headers.
    fn python(&self, call: &str) -> Command {
        let begin = "import requests, sys\nh={'X-Bkapi-Authorization': sys.argv[1]}\nf=open(sys.argv[2],'rb')";
        let script = format!("{begin}\nr=requests.{call}\nsys.stdout.write(r.text)");
        let mut command = Command::new(python3());
        command.args(["-c", &script, &self.authorization, &self.file]).env("NO_PROXY", "*");
        command
    }

    /// What each sends, as another version.
    fn all(&self) -> Vec<Command> {
        let Self { file, base, .. } = self;
        let (form, data) = (format!("package=@{file}"), format!("@{file}"));
        let put = |version: u8| format!("{base}upload/app-1.0.tgz?version={version}");
        let bare = format!("{base}?version=3&filename=app-1.0.tgz");
        let mut all = Vec::new();
        if has("curl", &["--version"]) {
            all.push(self.curl(&["-T", file, &put(1)]));
            all.push(self.curl(&["-F", &form, "-F", "version=2", base]));
            all.push(self.curl(&["-H", "Content-Type: application/gzip", "--data-binary", &data, &bare]));
            all.push(self.curl(&["-H", "Transfer-Encoding: chunked", "-T", file, &put(4)]));
        }
        if has(python3(), &["-c", "import requests"]) {
            all.push(
                self.python(&format!("post('{base}', headers=h, files={{'package': f}}, data={{'version': '5'}})")),
            );
            all.push(self.python(&format!("put('{base}upload/app-1.0.tgz?version=6', headers=h, data=f)")));
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_upload_files() {
    let stack = WholeStack::new().await;
    let package = package_of_size(LARGE);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app-1.0.tgz");
    std::fs::write(&file, &package).unwrap();
    let clients = Clients {
        authorization: stack.gateway().credentials().header(),
        file: file.display().to_string(),
        base: format!("{}{}", stack.base(), packages()),
    };
    let commands = clients.all();
    let count = commands.len();
    for mut command in commands {
        let row = package_printed(&tokio::task::block_in_place(|| command.output()).unwrap());
        assert_eq!(row["package_name"], "app-1.0.tgz", "{command:?}: {row}");
        assert_eq!(row["sha256_signature"], json!(sha256_hex(&package)));
    }
    let versions: std::collections::BTreeSet<_> = stack.rows().await.into_iter().map(|row| row.version).collect();
    assert_eq!(versions.len(), count);
    if count > 0 {
        // A folder in the place of the name: curl appends the file's.
        let mut command = clients.curl(&["-T", &clients.file, &format!("{}upload/", clients.base)]);
        let output = tokio::task::block_in_place(|| command.output()).unwrap();
        assert_eq!(package_printed(&output)["code"], "VALIDATION_ERROR", "it gives no version");
    }
}

#[tokio::test]
async fn the_gate_judges_a_file_by_its_head() {
    let grants = json!([{"name": "default", "callers": ["*"], "targets": ["app_code"]}]);
    let stack = WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| policy["grants"] = grants).await;
    let package = package_of("package");
    let query = "version=1&filename=a.tgz";
    let credentials = json!({"bk_app_code": "apigw-api-test", "bk_app_secret": "s", "bk_token": "t"});
    let form = Form::default().field("bk_app_code", "apigw-api-test").file("a.tgz", &package);
    for request in [
        crate::replies::stranger("").bare_file(query, package.clone()).path(format!("{}?{query}", packages())),
        crate::replies::stranger("").form(form).path(packages()),
        crate::replies::stranger("").bare_file(query, credentials.to_string()).path(format!("{}?{query}", packages())),
    ] {
        assert_not_authenticated(&stack.refuse_at_gate(request).await, "app code cannot be empty");
    }
    let elsewhere = bare(&stack, query, &package).path(format!("{}?{query}", packages().replace("app_code", "other")));
    assert_eq!(stack.refuse_at_gate(elsewhere).await.json()["code_name"], "APP_NO_PERMISSION");
    for path in [packages().trim_end_matches('/').to_owned(), format!("{}upload/a%20b", packages())] {
        let reply = stack.refuse_at_gate(bare(&stack, "", &package).path(path)).await;
        assert_envelope(&reply, 404, 1_640_401, "API_NOT_FOUND", "API not found");
    }
    assert_eq!(stack.send(bare(&stack, query, &package)).await.status, 200);
    let line = stack.gateway().access_line(&stack.send(bare(&stack, query, &package)).await).await;
    assert!(line.to_string().contains("upload_source_package"), "{line}");
}

#[tokio::test]
async fn a_file_may_be_large_and_its_caller_unknown_until_a_service_answers() {
    let platform = Platform::with(|policy| policy["identity"]["timeout_ms"] = json!(30_000)).await;
    let identity = &platform.identity;
    let presented =
        json!({"bk_app_code": CI, "bk_app_secret": identity.add_app(CI), "bk_token": identity.add_token(ANNA)});
    let package = package_of_size(LARGE);
    let query = "version=1&filename=a.tgz";
    let stack = &platform.stack;
    let request = |bytes: &[u8]| {
        let request = crate::replies::stranger("").bare_file(query, bytes).path(format!("{}?{query}", packages()));
        request.header("x-bkapi-authorization", &presented.to_string())
    };
    identity.set_all(ServiceBehaviour::Held).await;
    let sent = tokio::spawn(request(&package).try_send_owned(stack.base()));
    let page = "/stats?filter=^http.gateway.downstream_rq_active$";
    stack.gateway().wait_for_page(page, "a request that waits", |text| text.ends_with(": 1\n")).await;
    assert_eq!(stack.sent_to_store().await, 0);
    identity.set_all(ServiceBehaviour::Well).await;
    let reply = sent.await.unwrap().unwrap();
    assert_eq!((reply.status, reply.json()["operator"].as_str()), (200, Some(ANNA)), "{reply:?}");
    assert_eq!(stack.stored_files(), [sha256_hex(&package)]);
}

#[tokio::test]
async fn a_signature_covers_no_file() {
    let platform = Platform::new().await;
    let secret = platform.identity.add_app(CI);
    let presented = json!({"bk_app_code": CI, "bk_token": platform.identity.add_token(ANNA)}).to_string();
    let target = format!("{}upload/a.tgz?version=1", packages());
    let signed = signed_target_of("PUT", &target, 7, now_s(), &secret);
    let request = crate::replies::stranger("").put_file("a.tgz", "", package_of("package")).path(signed);
    let reply = platform.stack.refuse_at_gate(request.header("x-bkapi-authorization", &presented)).await;
    assert_not_authenticated(&reply, "bk_signature covers no streamed body, please provide bk_app_secret");
}

/// A request whose body is sent by hand.
struct ByHand(BufReader<TcpStream>);

impl ByHand {
    async fn begin(stack: &WholeStack, query: &str, more: &str) -> Self {
        let mut connection = Self(BufReader::new(TcpStream::connect(stack.gateway().address()).await.unwrap()));
        let head = format!(
            "POST {}?{query} HTTP/1.1\r\nhost: gateway\r\nx-bkapi-authorization: {}\r\n{more}\r\n",
            packages(),
            stack.gateway().credentials().header()
        );
        connection.send(head.as_bytes()).await;
        connection
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    async fn status(&mut self) -> u16 {
        let read = tokio::time::timeout(std::time::Duration::from_secs(30), Message::read(&mut self.0)).await;
        read.expect("an answer").unwrap().expect("an answer").status()
    }
}

#[tokio::test]
async fn a_file_passes_while_it_comes_and_nothing_is_left_when_its_caller_hangs_up() {
    let stack = WholeStack::under(GatewayPlan::new(), &[], &[], |policy, _| {
        policy["limits"]["uploads_per_app"] = json!({"concurrent": 1});
    })
    .await;
    let package = package_of_size(LARGE);
    let length = format!("content-length: {LARGE}\r\n");
    let mut caller = ByHand::begin(&stack, "version=1&filename=a.tgz", &length).await;
    caller.send(&package[..LARGE / 2]).await;
    wait_until_holds("a part of the file", async || !stack.directory().temp_files().is_empty()).await;
    let second = bare(&stack, "version=2&filename=a.tgz", &package_of("other"));
    let reply = stack.send(second.clone()).await;
    assert_envelope(&reply, 429, 1_642_904, "CONCURRENCY_LIMIT_RESTRICTION", "Request concurrency exceeds");
    drop(caller);
    wait_until_holds("the end of the file", async || stack.directory().temp_files().is_empty()).await;
    stack.directory().assert_empty().await;
    wait_until_holds("its place", async || stack.send(second.clone()).await.status == 200).await;
    let mut caller = ByHand::begin(&stack, "version=1&filename=a.tgz", &length).await;
    caller.send(&package).await;
    assert_eq!(caller.status().await, 200);
}

#[tokio::test]
async fn a_file_is_refused_before_its_first_byte_where_its_caller_waits_for_a_word() {
    let stack = WholeStack::new().await;
    let package = package_of_size(LARGE);
    let more = format!("content-length: {LARGE}\r\nexpect: 100-continue\r\n");
    let query = "version=1&filename=a.tgz";
    let mut caller = ByHand::begin(&stack, query, &more).await;
    assert_eq!(caller.status().await, 100);
    caller.send(&package).await;
    assert_eq!(caller.status().await, 200);
    let mut refused = ByHand::begin(&stack, query, &more).await;
    assert_eq!(refused.status().await, 400, "the version is there");
    let mut large = ByHand::begin(&stack, query, "content-length: 2000000000\r\nexpect: 100-continue\r\n").await;
    assert_eq!(large.status().await, 413);
}
