//! What else one would do: programs that bring a package into a bucket, without looking at it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use linkgate_tests::measure::time_in_shell;
use linkgate_tests::weed::{BUCKET, KEY_ID, SECRET};

use crate::Measured;

/// The time that a shell's children used stands in the second line of what `times` prints.
const SCRIPT: &str = "set -e\n\"$@\" >&2\ntimes";

/// With the settings that it has by itself, but for what it would ask the server first. `None` where it is not there.
pub async fn rclone_into(endpoint: &str, url: &str) -> Option<Measured> {
    let rclone = std::env::var_os("LINKGATE_RCLONE")?.into_string().ok()?;
    let bucket = format!("bench:{BUCKET}/copied");
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", &rclone, "copyurl", url, &bucket, "--s3-no-check-bucket", "--config", ""]);
    command.envs([
        ("RCLONE_CONFIG_BENCH_TYPE", "s3"),
        ("RCLONE_CONFIG_BENCH_PROVIDER", "Other"),
        ("RCLONE_CONFIG_BENCH_ENDPOINT", endpoint),
        ("RCLONE_CONFIG_BENCH_REGION", "us-east-1"),
        ("RCLONE_CONFIG_BENCH_ACCESS_KEY_ID", KEY_ID),
        ("RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY", SECRET),
        ("RCLONE_CONFIG_BENCH_USE_MULTIPART_ETAG", "false"),
    ]);
    Some(run(command).await)
}

pub async fn curl_into(endpoint: &str, file: &Path) -> Option<Measured> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", "curl", "-sSf", "--aws-sigv4", "aws:amz:us-east-1:s3"]);
    command.args(["--user", &format!("{KEY_ID}:{SECRET}"), "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-T"]);
    command.arg(file).arg(format!("{endpoint}/{BUCKET}/copied"));
    Some(run(command).await)
}

async fn run(mut command: Command) -> Measured {
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    // A server may run in this process: waiting must not hold its thread.
    let run = move || (Instant::now(), command.output().unwrap(), Instant::now());
    let (begun, output, ended) = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let cpu = said.lines().last().unwrap().split_whitespace().map(time_in_shell).sum();
    Measured { took: ended - begun, cpu, peak_kib: None }
}
