//! A file that curl puts: into the store, in clear and under TLS, and into nginx, which has its digest made by another program
//! afterwards. Both stand behind Envoy with the gate, which judges both alike.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use linkgate_tests::file::PACKAGES;
use linkgate_tests::measure::memory_dir;
use linkgate_tests::{
    Certificates, Channel, Gateway, GatewayPlan, Nginx, StoreProcess, bytes, sha256_hex, tar, unknown_formats_allowed,
};

use crate::{Measured, memory_kib, print};

/// What is put.
struct Sent {
    path: PathBuf,
    bytes: u64,
    sha256: String,
}

/// Measures both, with a file that is looked into and one that is none to look into.
pub async fn measure(size: u64, rounds: u64) {
    let dir = tempfile::tempdir_in(memory_dir(3 * size)).unwrap();
    let certificates = Certificates::new();
    let size = usize::try_from(size).expect("a file that fits");
    let content = bytes(size);
    let archive = tar(&[("a", &content)], linkgate_tests::Compression::None);
    for (name, content) in [("no archive", content), ("tar", archive)] {
        let path = dir.path().join("sent");
        std::fs::write(&path, &content).unwrap();
        let sent = Sent { path, bytes: content.len() as u64, sha256: sha256_hex(&content) };
        drop(content);
        let names = ["store", "store, TLS 1.3", "store, TLS 1.3, mTLS", "nginx, then sha256sum"];
        let mut rows = names.map(|name| (name, Vec::new()));
        // One round first that does not count.
        for round in 0..=rounds {
            let mut measured = Vec::new();
            for channel in Channel::ALL {
                measured.push(into_store(dir.path(), &sent, (&certificates, channel)).await);
            }
            measured.push(into_nginx(dir.path(), &sent, &certificates).await);
            for ((_, all), one) in rows.iter_mut().zip(measured).filter(|_| round > 0) {
                all.push(one);
            }
        }
        print(&format!("upload by file, {name}"), sent.bytes, &rows);
    }
}

async fn into_store(root: &Path, sent: &Sent, (certificates, channel): (&Certificates, Channel)) -> Measured {
    let (dir, plan) = (tempfile::tempdir_in(root).unwrap(), certificates.wire(GatewayPlan::new(), channel));
    let mut settings = certificates.store_settings(channel);
    settings.push(("LINKGATE_JWT_PUBLIC_KEYS", plan.public_keys()));
    settings.push(("LINKGATE_FETCH_MAX_BYTES", sent.bytes.to_string()));
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(unknown_formats_allowed("one of the files is no archive, to measure without the inspection"));
    let store = StoreProcess::start(dir.path(), &settings);
    let gateway = start(plan, store.base().trim_start_matches("http://")).await;
    let (took, envoy_more_kib, reply) = put(&gateway, (certificates, channel), sent, || ());
    assert!(reply.contains(&sent.sha256), "{reply}");
    Measured { took, back_end_kib: store.peak_memory_kib(), envoy_more_kib }
}

async fn into_nginx(root: &Path, sent: &Sent, certificates: &Certificates) -> Measured {
    let location = "location / { dav_methods PUT; create_full_put_path on; }\nclient_max_body_size 0;";
    let nginx = Nginx::start_in(root, location).await;
    let gateway = start(GatewayPlan::new(), &nginx.host()).await;
    let stored = nginx.file(&format!("{PACKAGES}upload/sent"));
    let mut said = String::new();
    let (took, envoy_more_kib, _) = put(&gateway, (certificates, Channel::Plain), sent, || {
        let output = Command::new("sha256sum").arg(&stored).output().expect("sha256sum runs");
        said = String::from_utf8(output.stdout).unwrap();
    });
    assert!(said.starts_with(&sent.sha256), "{said}");
    Measured { took, back_end_kib: memory_kib(nginx.pid(), "VmHWM:"), envoy_more_kib }
}

async fn start(plan: GatewayPlan, upstream: &str) -> Gateway {
    plan.deploy(&plan.credentials().policy(&["example.com".to_owned()]));
    plan.start(upstream.parse().unwrap()).await
}

/// How long curl takes and what is done then, how much more Envoy held, and the reply.
fn put(
    gateway: &Gateway,
    (certificates, channel): (&Certificates, Channel),
    sent: &Sent,
    then: impl FnOnce(),
) -> (Duration, u64, String) {
    let authorization = format!("X-Bkapi-Authorization: {}", gateway.credentials().header());
    let url = format!("{}/stag{PACKAGES}upload/sent?version=1", Certificates::base(gateway, channel));
    let before = memory_kib(gateway.pid(), "VmRSS:");
    let begun = Instant::now();
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "--noproxy", "*", "-H", &authorization, "--cacert"]).arg(certificates.authority_file());
    let output = curl.args(["--http1.1", "--tlsv1.3", "-T"]).arg(&sent.path).arg(url).output().expect("curl runs");
    then();
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let more = memory_kib(gateway.pid(), "VmHWM:").saturating_sub(before);
    (took, more, String::from_utf8_lossy(&output.stdout).into_owned())
}
