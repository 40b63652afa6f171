//! What a caller reads must be what was acknowledged to it, at every moment and at every store.

use std::collections::BTreeMap;

use linkgate_tests::Downloaded;
use reqwest::Method;
use serde_json::Value;

use super::{Caller, Key, Live, Next, Round};

/// More than a caller has in a module.
const ALL: &str = "?limit=100";

impl Caller {
    /// Lists the module of a version, and downloads the version. Nobody else changes it, and nothing is in doubt.
    pub(super) async fn read(&mut self, round: &Round<'_>, key: &Key) -> Next {
        let request = round.change(&self.app, key, "read", Method::GET, ALL);
        let Ok(Some(reply)) = self.ask(round, request).await else { return Next::End };
        if reply.status != 200 {
            return self.unexpected(&format!("a list with {key:?}"), &reply);
        }
        let (listed, known) = (listed(&reply.json(), &key.module), self.live_in(&key.module));
        if listed != known {
            self.wrong.push(format!("listed is {listed:?}, acknowledged was {known:?}"));
            return Next::End;
        }
        self.deeds.reads += 1;
        self.download(round, key).await
    }

    fn live_in(&self, module: &str) -> BTreeMap<Key, Live> {
        let live = self.live.iter().filter(|(key, _)| key.module == module);
        live.map(|(key, live)| (key.clone(), live.clone())).collect()
    }

    async fn download(&mut self, round: &Round<'_>, key: &Key) -> Next {
        let Some(live) = self.live.get(key).cloned() else { return Next::Go };
        let request = round.change(&self.app, key, "download", Method::GET, &format!("{}/download/", live.id));
        let Ok(opened) = self.open(round, request).await else { return Next::End };
        let Ok(reply) = Downloaded::read(opened).await else { return Next::End };
        if round.may_fail.allows(reply.status, reply.header("bkapi-error-code")) {
            return Next::End;
        }
        let found = linkgate_tests::sha256_hex(&reply.bytes);
        if (reply.status, &found) != (200, &live.sha256) {
            self.wrong.push(format!("a download of {key:?} was answered {} with {found}, not {live:?}", reply.status));
            return Next::End;
        }
        self.deeds.reads += 1;
        Next::Go
    }
}

fn listed(page: &Value, module: &str) -> BTreeMap<Key, Live> {
    let rows = page["results"].as_array().into_iter().flatten();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.map(|row| {
        let key = Key { module: module.to_owned(), version: text(row, "version") };
        (key, Live { id: row["id"].as_i64().unwrap_or_default(), sha256: text(row, "sha256_signature") })
    })
    .collect()
}
