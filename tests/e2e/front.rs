//! What stands in front of the gateway: nginx and HAProxy, set up as the document says, and clients that speak HTTP/1.0.
//!
//! A proxy that is not installed is left out, and the test says so; `.ci/run` installs both.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use linkgate_tests::file::PACKAGES;
use linkgate_tests::gateway::path_from;
use linkgate_tests::package_of_size;
use linkgate_tests::wait::wait_until;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::raw;
use crate::replies::{WholeStack, authorized, stranger};

/// A proxy as a process. Killed when dropped.
struct Front(Child);

impl Drop for Front {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// The document's block in this language.
fn documented(language: &str) -> String {
    let text = std::fs::read_to_string(path_from("LINKGATE_ROOT").join("docs/DEPLOYMENT.md")).unwrap();
    let (_, block) = text.split_once(&format!("```{language}\n")).expect("the document has a block");
    block.split_once("```").unwrap().0.to_owned()
}

/// The same, between this address and the gateway.
fn between(language: &str, listen: (&str, &str), front: SocketAddr, stack: &WholeStack) -> String {
    let block = documented(language);
    assert!(block.contains(listen.0) && block.contains("127.0.0.1:8080"), "{block}");
    let listening = format!("{}{front}", listen.1);
    block.replace(listen.0, &listening).replace("127.0.0.1:8080", &stack.gateway().address().to_string())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn start(program: &str, arguments: &[&str], config: &Path) -> Option<Front> {
    let mut command = Command::new(program);
    match command.args(arguments).arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => Some(Front(child)),
        Err(error) => {
            println!("{program} is not tried: {error}");
            None
        }
    }
}

/// Uploads through the proxy.
async fn upload_through(front: SocketAddr, stack: &WholeStack) {
    wait_until(async || TcpStream::connect(front).await.map(drop).map_err(|error| error.to_string())).await;
    let request = authorized(stranger(stack.source().url()), stack.gateway().credentials());
    let reply = request.send(&format!("http://{front}")).await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("0.0.5")), "{reply:?}");
    let refused = stranger(stack.source().url()).in_english().send(&format!("http://{front}")).await;
    assert_eq!((refused.status, &refused.json()["code_name"]), (400, &json!("INVALID_ARGS")), "{refused:?}");
    // More than a proxy takes unless it is told otherwise.
    let path = format!("/stag{PACKAGES}upload/a.tgz?version=file");
    let file = stranger("").put_file("a.tgz", "", package_of_size(3 << 20)).path(path);
    let reply = authorized(file, stack.gateway().credentials()).send(&format!("http://{front}")).await;
    assert_eq!((reply.status, &reply.json()["version"]), (200, &json!("file")), "{reply:?}");
    assert_eq!(stack.rows().await.len(), 2);
}

#[tokio::test]
async fn uploads_pass_nginx_as_documented() {
    let (stack, front, dir) = (WholeStack::new().await, free_address().await, tempfile::tempdir().unwrap());
    let server = between("nginx", ("listen 8000", "listen "), front, &stack);
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", dir.path().display()))
        .collect();
    let pid = dir.path().join("pid");
    let config = format!(
        "daemon off;\nmaster_process off;\npid {};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temp}{server}}}\n",
        pid.display()
    );
    let path = dir.path().join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    if let Some(_front) = start("nginx", &["-c"], &path) {
        upload_through(front, &stack).await;
    }
}

#[tokio::test]
async fn uploads_pass_haproxy_as_documented() {
    let (stack, front, dir) = (WholeStack::new().await, free_address().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("haproxy.cfg");
    std::fs::write(&path, between("haproxy", ("bind :8000", "bind "), front, &stack)).unwrap();
    if let Some(_front) = start("haproxy", &["-db", "-f"], &path) {
        upload_through(front, &stack).await;
    }
}

#[tokio::test]
async fn http_1_0_is_served_where_the_body_has_a_length() {
    let stack = WholeStack::new().await;
    let body = json!({"package_url": stack.source().url(), "version": "0.0.5"}).to_string();
    let path = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
    let (length, credentials) = (body.len(), stack.gateway().credentials().header());
    for host in ["host: gateway\r\n", ""] {
        let request = format!(
            "POST {path} HTTP/1.0\r\n{host}content-type: application/json\r\nx-bkapi-authorization: {credentials}\r\ncontent-length: {length}\r\n\r\n{}",
            body.replace("0.0.5", if host.is_empty() { "0.0.6" } else { "0.0.5" })
        );
        let reply = raw(stack.gateway().address(), request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.0 200 ") || reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
    let without = format!("POST {path} HTTP/1.0\r\nhost: gateway\r\nx-bkapi-authorization: {credentials}\r\n\r\n");
    let reply = raw(stack.gateway().address(), without.as_bytes()).await;
    assert!(reply.contains(" 400 ") && reply.contains("VALIDATION_ERROR"), "{reply}");
    assert_eq!(stack.rows().await.len(), 2);
}
