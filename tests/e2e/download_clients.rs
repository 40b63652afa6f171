//! Programs that people download with, against a real Envoy: they resume, and fetch parts at once. Nothing if one is missing.

use std::path::Path;
use std::process::{Command, Stdio};

use linkgate_tests::{Behaviour, WholeStack, package_of_size, package_path, sha256_hex};
use serde_json::json;

use crate::downloads::{granting, upload};

const SIZE: usize = 20 << 20;

/// Whether a program is there.
fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if !is_there {
        eprintln!("{program} is missing, so nothing is shown of it");
    }
    is_there
}

/// A stack with one package, and where it is.
async fn holding() -> (WholeStack, String, Vec<u8>) {
    let stack = granting(json!(["upload", "download"])).await;
    let package = package_of_size(SIZE);
    let link = stack.link_to("/large.tar.gz", Behaviour::Bytes(package.clone()));
    let id = upload(&stack, &link).await;
    let url = format!("{}/stag{}", stack.base(), package_path(id, "download/"));
    (stack, url, package)
}

/// Runs a program in a folder that has the beginning of the package; gives what the file holds then.
fn run(stack: &WholeStack, dir: &Path, begun: &[u8], program: &str, arguments: &[&str]) -> Vec<u8> {
    let file = dir.join("package");
    std::fs::write(&file, begun).unwrap();
    let header = format!("X-Bkapi-Authorization: {}", stack.gateway().credentials().header());
    let mut command = Command::new(program);
    command.current_dir(dir).args(["--header", &header]).args(arguments).env("no_proxy", "*");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{program}: {}{}", String::from_utf8_lossy(&done.stderr), done.status);
    std::fs::read(&file).unwrap()
}

#[tokio::test]
async fn curl_and_wget_resume() {
    let (stack, url, package) = holding().await;
    let dir = tempfile::tempdir().unwrap();
    let half = &package[..SIZE / 2 + 1];
    for (program, arguments) in [
        ("curl", &["-sS", "--fail", "-C", "-", "-o", "package", &url][..]),
        ("wget", &["-q", "-c", "-O", "package", &url]),
    ] {
        if has(program) {
            for begun in [&[][..], half] {
                let got = run(&stack, dir.path(), begun, program, arguments);
                assert_eq!(sha256_hex(&got), sha256_hex(&package), "{program}");
            }
        }
    }
    if has("curl") {
        // By the name that the store gives, and only if it has changed.
        let tagged = ["-sS", "--fail", "--etag-save", "tag", "-OJ", &url];
        run(&stack, dir.path(), &[], "curl", &tagged);
        let named = std::fs::read(dir.path().join("large-0.0.5.tar.gz")).unwrap();
        assert_eq!(sha256_hex(&named), sha256_hex(&package));
        let again = ["-sS", "--fail", "--etag-compare", "tag", "-o", "unchanged", "-w", "%{http_code}", &url];
        run(&stack, dir.path(), &[], "curl", &again);
        let unchanged = std::fs::read(dir.path().join("unchanged")).unwrap_or_default();
        assert_eq!(unchanged, b"", "nothing came");
    }
}

#[tokio::test]
async fn aria2_fetches_parts_at_once() {
    if !has("aria2c") {
        return;
    }
    let (stack, url, package) = holding().await;
    let dir = tempfile::tempdir().unwrap();
    let before = stack.sent_to_store().await;
    let digest = format!("--checksum=sha-256={}", sha256_hex(&package));
    let arguments = ["-q", "-x4", "-s4", "-k1M", "--allow-overwrite=true", &digest, "-o", "package", &url];
    let got = run(&stack, dir.path(), &[], "aria2c", &arguments);
    assert_eq!(sha256_hex(&got), sha256_hex(&package));
    assert!(stack.sent_to_store().await >= before + 4, "in parts");
}
