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

use crate::admin::Admin;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::files::read_text;
use crate::resource::{NAME, policy_version};

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
        "" => Err(Error::NotReady("it has no policy".to_owned())),
        version => Ok(format!("ready with policy {version}\n")),
    }
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
        let cases = [
            (vec!["200 OK|LIVE\n", has], Ok("ready with policy 0123456789ab\n".to_owned())),
            (vec!["200 OK|LIVE\n", has_none], Err(1)),
            (vec!["503 Service Unavailable|INITIALIZING\n"], Err(1)),
        ];
        for (answers, want) in cases {
            let (admin, asked) = admin(answers);
            assert_eq!(check_ready(&admin).map_err(|error| error.exit_code()), want);
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
