//! `linkgate envoy run`, `ready` and `drain`: a gateway's life where there is no shell, in a container for one.
//!
//! Promises: the signing key goes from its file into Envoy's environment and nowhere else; Envoy takes the place of this
//! process, so that signals are its own. A drain never ends a request that is under way.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::admin::Admin;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::files::read_text;
use crate::resource::{NAME, RUNTIME, policy_of, policy_version};

/// The variable of Envoy's process that the filter reads.
const KEY: &str = "LINKGATE_JWT_PRIVATE_KEY";
/// Requests that callers have under way at the listener of `envoy.yaml`.
const UNDER_WAY: &str = "http.gateway.downstream_rq_active";

/// Becomes Envoy; returns only if that fails.
pub fn become_envoy(program: &Path, config: &Path, key: &Path, arguments: &[OsString]) -> Result<String, Error> {
    let key = SecretString::from(read_text(key)?);
    let failed = Command::new(program).arg("-c").arg(config).args(arguments).env(KEY, key.expose_secret()).exec();
    Err(Error::file("run", program, failed))
}

/// Says with which policy Envoy serves.
pub fn check_ready(admin: &Admin) -> Result<String, Error> {
    admin.get("/ready").map_err(Error::NotReady)?;
    let name = format!("extension_config_discovery.http_filter.{NAME}.version_text");
    let stats = admin.get_stats(&name).map_err(Error::Admin)?;
    match policy_version(stats.get_text(&name)) {
        "" => Err(Error::NotReady(explain_no_policy(admin))),
        version => match find_misfit(&fetch_filter(admin)?) {
            Some(misfit) => Err(Error::NotReady(misfit.to_owned())),
            None => Ok(format!("ready with policy {version}\n")),
        },
    }
}

/// Why Envoy has no policy, as far as it tells.
pub fn explain_no_policy(admin: &Admin) -> String {
    let runs_wasm = admin.get_json("/server_info").ok().and_then(|info| {
        let extensions = info["node"]["extensions"].as_array()?.clone();
        Some(extensions.iter().any(|extension| extension["name"] == RUNTIME))
    });
    match runs_wasm {
        Some(false) => format!("it is built without {RUNTIME}, so it cannot load the filter: take another build"),
        _ => "it has no policy: its log says why, look for `policy refused` and `config update`".to_owned(),
    }
}

/// What is wrong with the way in which Envoy runs the filter.
pub fn find_misfit(filter: &Value) -> Option<&'static str> {
    (filter["config"]["allow_on_headers_stop_iteration"] != true).then_some(
        "it runs the filter without `allow_on_headers_stop_iteration: true`, so requests with a body hang until they time \
         out: deploy the policy with `linkgate policy deploy`, or set it where the filter is configured",
    )
}

/// The filter's configuration that Envoy serves by.
pub fn fetch_filter(admin: &Admin) -> Result<Value, Error> {
    let dump = admin.get_json("/config_dump?resource=ecds_filters").map_err(Error::Admin)?;
    let filters = dump["configs"].as_array().into_iter().flatten();
    let found = filters.map(|filter| &filter["ecds_filter"]).find(|filter| filter["name"] == NAME);
    found.map(|filter| filter["typed_config"].clone()).ok_or_else(|| Error::NotReady(explain_no_policy(admin)))
}

/// The policy that Envoy serves by.
pub fn fetch_policy(admin: &Admin) -> Result<String, Error> {
    let no_policy = || Error::Admin(format!("{admin}: its filter has no policy"));
    policy_of(&fetch_filter(admin)?).ok_or_else(no_policy)
}

/// Has Envoy say that it is leaving, then close its listeners, then waits for the requests under way.
pub fn drain_envoy(admin: &Admin, notice: Duration, wait: Duration) -> Result<String, Error> {
    // `/readyz` of the listener is 503 from here on, and answers ask callers to close their connections.
    admin.post("/healthcheck/fail").map_err(Error::Admin)?;
    sleep(notice);
    admin.post("/drain_listeners").map_err(Error::Admin)?;
    let deadline = Deadline::start(wait);
    loop {
        let stats = admin.get_stats(&format!("^{UNDER_WAY}$")).map_err(Error::Admin)?;
        match stats.get_number(UNDER_WAY) {
            Some(0) => return Ok("drained: no request is under way\n".to_owned()),
            None => return Err(Error::Admin(format!("{admin}: the answer has no {UNDER_WAY}"))),
            Some(requests) if deadline.has_passed() => return Err(Error::StillBusy { requests, waited: wait }),
            Some(_) => deadline.pause(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// An admin interface that gives these answers in turn, and what it was asked for.
    fn admin(answers: Vec<&'static str>) -> (Admin, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = move || {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
                asked.push(lines.next().unwrap());
                assert!(lines.any(|line| line.is_empty()));
                let (status, body) = answer.split_once('|').unwrap();
                write!(stream, "HTTP/1.1 {status}\r\n\r\n{body}").unwrap();
            }
            asked
        };
        (url.parse().unwrap(), thread::spawn(serve))
    }

    const POLICY: &str = "extension_config_discovery.http_filter.linkgate.version_text";

    #[test]
    fn ready_is_who_serves_and_has_a_policy() {
        let has: &'static str = format!("200 OK|{POLICY}: \"0123456789ab-01234567\"\n").leak();
        let has_none: &'static str = format!("200 OK|{POLICY}: \"\"\n").leak();
        let fits = r#"200 OK|{"configs":[{"ecds_filter":{"name":"linkgate","typed_config":{"config":{"allow_on_headers_stop_iteration":true}}}}]}"#;
        let misfit = r#"200 OK|{"configs":[{"ecds_filter":{"name":"linkgate","typed_config":{"config":{}}}}]}"#;
        let v8 = r#"200 OK|{"node":{"extensions":[{"name":"envoy.wasm.runtime.v8"}]}}"#;
        let no_v8 = r#"200 OK|{"node":{"extensions":[{"name":"envoy.wasm.runtime.null"}]}}"#;
        let cases = [
            (vec!["200 OK|LIVE\n", has, fits], Ok("ready with policy 0123456789ab\n")),
            (vec!["200 OK|LIVE\n", has, misfit], Err("`allow_on_headers_stop_iteration: true`")),
            (vec!["200 OK|LIVE\n", has_none, v8], Err("it has no policy: its log says why")),
            (vec!["200 OK|LIVE\n", has_none, no_v8], Err("it is built without envoy.wasm.runtime.v8")),
            (vec!["503 Service Unavailable|INITIALIZING\n"], Err("503")),
        ];
        for (answers, want) in cases {
            let (admin, asked) = admin(answers);
            match (check_ready(&admin), want) {
                (Ok(said), Ok(want)) => assert_eq!(said, want),
                (Err(error), Err(want)) => {
                    assert_eq!(error.exit_code(), 1);
                    assert!(error.to_string().contains(want), "{error}");
                }
                other => panic!("{other:?}"),
            }
            asked.join().unwrap();
        }
    }

    #[test]
    fn a_drain_gives_notice_closes_and_waits_for_the_last_request() {
        let busy = "200 OK|http.gateway.downstream_rq_active: 1\n";
        let idle = "200 OK|http.gateway.downstream_rq_active: 0\n";
        let (admin, asked) = admin(vec!["200 OK|OK\n", "200 OK|OK\n", busy, busy, idle]);
        drain_envoy(&admin, Duration::ZERO, Duration::from_secs(30)).unwrap();
        let asked = asked.join().unwrap();
        assert!(asked[0].starts_with("POST /healthcheck/fail ") && asked[1].starts_with("POST /drain_listeners "));
        assert_eq!(asked.len(), 5);
    }

    #[test]
    fn a_drain_that_takes_too_long_says_so_with_3() {
        let busy = "200 OK|http.gateway.downstream_rq_active: 2\n";
        let (admin, asked) = admin(vec!["200 OK|OK\n", "200 OK|OK\n", busy]);
        let error = drain_envoy(&admin, Duration::ZERO, Duration::ZERO).unwrap_err();
        assert_eq!((error.exit_code(), error.to_string()), (3, "2 requests are still under way after 0s".to_owned()));
        asked.join().unwrap();
    }

    #[test]
    fn envoy_gets_the_key_and_takes_our_place_or_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let missing = become_envoy(Path::new("/no/such/envoy"), folder.path(), &folder.path().join("none"), &[]);
        assert!(missing.unwrap_err().to_string().contains("none"));
        let key = folder.path().join("key");
        std::fs::write(&key, "key").unwrap();
        let failed = become_envoy(Path::new("/no/such/envoy"), folder.path(), &key, &[]).unwrap_err();
        assert!(failed.to_string().starts_with("cannot run /no/such/envoy"), "{failed}");
        assert!(!failed.to_string().contains(KEY));
    }
}
