//! No credential is found where it does not belong, whatever becomes of the request: not in a log, a trace, a metric, a reply,
//! the store's files or its statements, and not in what a source, another origin or the wrong identity service gets.
//!
//! Each credential is a random marker. A kind of credential is a row of one of the tables below.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use linkgate_tests::collector::Collector;
use linkgate_tests::wait::wait_until_holds;
use linkgate_tests::{Asked, Behaviour, FakeSource, LinkRequestBuilder, Reply, Service, random};
use serde_json::{Value, json};

use crate::platform::{CI, Caller, Platform, Proof, UPLOAD};
use crate::replies::{package, stranger};
use crate::tracing::plan;

/// The prefix of a stage that takes credentials from everywhere.
const ANYWHERE: &str = "/anywhere";
const BOUNDARY: &str = "2718281828";

/// Adds a marker to a request.
type Present = fn(LinkRequestBuilder, &str) -> LinkRequestBuilder;
/// Makes a request of credentials and all else.
type PresentFields = fn(&Fields) -> LinkRequestBuilder;

/// Credentials in places where they do not count, beside those that do.
const MISPLACED: [(&str, Present); 11] = [
    ("a bearer", |request, marker| request.header("authorization", &format!("Bearer {marker}"))),
    ("a password", |request, marker| {
        request.header("authorization", &format!("Basic {}", STANDARD.encode(format!("user:{marker}"))))
    }),
    ("a proxy's password", |request, marker| request.header("proxy-authorization", &format!("Bearer {marker}"))),
    ("a session", |request, marker| request.header("cookie", &format!("session={marker}"))),
    ("a token of the gateway", |request, marker| request.header("x-bkapi-jwt", marker)),
    ("a token of the gateway, as CGI writes it", |request, marker| request.header("x_bkapi_jwt", marker)),
    ("a header of the gateway", |request, marker| request.header("x-bkapi-app", marker)),
    ("a credential for a source that no gate judged", |request, marker| {
        request.header("x-bkapi-source-authorization", &format!("Bearer {marker}"))
    }),
    ("a credential for a source, as CGI writes it", |request, marker| {
        request.header("x_linkgate_source_authorization", &format!("Bearer {marker}"))
    }),
    ("a tenant", |request, marker| request.header("x-bk-tenant-id", marker)),
    ("a secret in the query", |request, marker| request.path(format!("/stag{UPLOAD}?bk_app_secret={marker}"))),
];

/// Credentials of a known app and user, where the stage takes them from anywhere; the fields come in a query's form.
const ANYWHERE_KINDS: [(&str, PresentFields); 4] = [
    ("in the query", |fields| {
        let path = format!("{ANYWHERE}{UPLOAD}?{}", fields.credentials());
        stranger("").path(path).raw_body(fields.package().to_string())
    }),
    ("in JSON", |fields| upload_anywhere(fields.all().to_string(), "application/json")),
    ("in a form", |fields| upload_anywhere(fields.form(), "application/x-www-form-urlencoded")),
    ("in parts of a form", |fields| {
        let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
        upload_anywhere(fields.parts(), &media_type)
    }),
];

/// What becomes of a request, by the path of its link.
const ENDS: [(&str, &str); 4] =
    [("stored", "/good"), ("not stored", "/missing"), ("redirected", "/moved"), ("not waited for", "/late")];

fn upload_anywhere(body: String, media_type: &str) -> LinkRequestBuilder {
    stranger("").path(format!("{ANYWHERE}{UPLOAD}")).raw_body(body).content_type(Some(media_type))
}

/// The fields of an upload whose credentials stand among them.
struct Fields {
    link: String,
    version: String,
    secret: String,
    token: String,
}

impl Fields {
    fn package(&self) -> Value {
        json!({"package_url": self.link, "version": self.version})
    }

    fn all(&self) -> Value {
        let mut all = self.package();
        (all["bk_app_code"], all["bk_app_secret"]) = (CI.into(), self.secret.as_str().into());
        all["bk_token"] = self.token.as_str().into();
        all
    }

    fn credentials(&self) -> String {
        format!("bk_app_code={CI}&bk_app_secret={}&bk_token={}", self.secret, self.token)
    }

    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.all().as_object().unwrap() {
            form.append_pair(name, value.as_str().unwrap());
        }
        form.finish()
    }

    fn parts(&self) -> String {
        let part = |(name, value): (&String, &Value)| {
            let value = value.as_str().unwrap();
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        self.all().as_object().unwrap().iter().map(part).collect::<String>() + &format!("--{BOUNDARY}--\r\n")
    }
}

/// Markers, and the one service that may read each.
#[derive(Default)]
struct Markers(BTreeMap<String, Option<Service>>);

impl Markers {
    /// Parts of a token tell as much as the whole.
    fn add(&mut self, secret: &str, service: Option<Service>) {
        let parts = secret.split('.').filter(|part| part.len() > 16);
        self.0.extend(parts.map(|part| (part.to_owned(), service)));
    }

    /// Fails if a marker stands there that `service` may not read.
    fn assert_absent(&self, place: &str, bytes: &[u8], service: Option<Service>) {
        let hidden: Vec<_> = self.0.iter().filter(|(_, of)| service.is_none() || **of != service).collect();
        let markers = AhoCorasick::new(hidden.iter().map(|(marker, _)| marker)).unwrap();
        let found = markers.find(bytes).map(|found| {
            let around = found.start().saturating_sub(80)..(found.end() + 20).min(bytes.len());
            String::from_utf8_lossy(&bytes[around]).into_owned()
        });
        assert_eq!(found, None, "in {place}");
    }
}

/// The whole of Linkgate with services, a collector of traces and another origin.
struct Ground {
    platform: Platform,
    collector: Collector,
    elsewhere: FakeSource,
    vault: Vault,
    markers: Markers,
    replies: Vec<Reply>,
}

/// A source that wants to know who asks, and what the store has for it.
struct Vault {
    source: FakeSource,
    operators: String,
    sealing_key: String,
    file: tempfile::NamedTempFile,
}

impl Vault {
    async fn new(elsewhere: &FakeSource) -> Self {
        let source = FakeSource::serving(package()).await;
        source.on("/missing", Behaviour::Status(404));
        source.on("/moved", Behaviour::Redirect(302, elsewhere.url()));
        source.on("/denied", Behaviour::Status(401));
        // A new file may be read by its owner alone.
        let (operators, file) = (random(), tempfile::NamedTempFile::new().unwrap());
        let host = source.host();
        let text = format!(
            "[[credentials]]\nname = \"vault\"\nhost = \"{host}\"\npath = \"/\"\nkind = \"bearer\"\nsecret = \"{operators}\"\n"
        );
        std::fs::write(file.path(), text).unwrap();
        Self { source, operators, sealing_key: format!("{:064x}", fastrand::u128(..)), file }
    }

    fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("LINKGATE_FETCH_CREDENTIALS_FILE", self.file.path().display().to_string()),
            ("LINKGATE_FETCH_CREDENTIALS_OVER_HTTP", self.source.host()),
            ("LINKGATE_STORE_SEALING_KEY", self.sealing_key.clone()),
        ]
    }

    fn rule(&self) -> Value {
        json!({
            "host": self.source.host(),
            "allow_private_addresses": true,
            "credential": "vault",
            "allow_caller_credential": true,
        })
    }
}

impl Ground {
    async fn new() -> Self {
        let (collector, elsewhere) = (Collector::start().await, FakeSource::serving(package()).await);
        let vault = Vault::new(&elsewhere).await;
        let plan = plan(&collector);
        let mut markers = Markers::default();
        plan.private_key().lines().filter(|line| !line.starts_with('-')).for_each(|line| markers.add(line, None));
        [&vault.operators, &vault.sealing_key].into_iter().for_each(|secret| markers.add(secret, None));
        let [file, over_http, sealing_key] = vault.settings();
        let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), file, over_http, sealing_key];
        let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let hosts = [elsewhere.host(), vault.source.host()];
        let platform = Platform::built(plan, &settings, &hosts, |policy| {
            policy["packages"]["hosts"] =
                json!([{"host": elsewhere.host(), "allow_private_addresses": true}, vault.rule()]);
            let stages = policy["routes"]["stages"].as_array_mut().unwrap();
            let places = json!({"credentials_from": ["header", "query", "body"]});
            stages.push(json!({"name": "anywhere", "prefixes": [ANYWHERE], "authentication": places}));
        })
        .await;
        let source = platform.stack.source();
        source.on("/missing", Behaviour::Status(404));
        source.on("/moved", Behaviour::Redirect(302, elsewhere.url()));
        let [_, (_, secret), (_, bearer)] = platform.identity.environment();
        markers.add(&secret, Some(Service::Bkauth));
        markers.add(&bearer, Some(Service::Login));
        let listed = platform.stack.gateway().credentials();
        [&listed.secret, &listed.token, &listed.ticket].into_iter().for_each(|secret| markers.add(secret, None));
        Self { platform, collector, elsewhere, vault, markers, replies: Vec::new() }
    }

    /// The store's own keys.
    fn add_own_keys(&mut self) {
        for file in OWN_KEYS {
            let key = std::fs::read_to_string(self.data().join(file)).unwrap();
            key.lines().filter(|line| !line.starts_with('-')).for_each(|line| self.markers.add(line, None));
        }
    }

    fn data(&self) -> &Path {
        self.platform.stack.directory().path()
    }

    async fn send(&mut self, request: LinkRequestBuilder, end: &str) -> u16 {
        let request = if end == "not waited for" { request.header("prefer", "respond-async") } else { request };
        let reply = self.platform.stack.send(request).await;
        let status = reply.status;
        self.replies.push(reply);
        status
    }

    /// A caller whose proof is good, and then one whose is not, to each end.
    async fn call(&mut self, proof: Proof) {
        for (end, path) in ENDS {
            let link = self.platform.stack.source().url_of(path);
            let good = self.platform.caller(proof);
            let status = self.present(proof, &good, &link, end).await;
            let expected = match end {
                "not stored" => 502,
                "not waited for" => 202,
                _ => 200,
            };
            assert_eq!(status, expected, "{proof:?} {end}: {:?}", self.replies.last());
            assert_eq!(self.present(proof, &good.forged(), &link, end).await, 400, "{proof:?} {end}");
        }
    }

    async fn present(&mut self, proof: Proof, caller: &Caller, link: &str, end: &str) -> u16 {
        let service = proof.question().map(|(service, _)| service);
        // A secret that signs is shown to nobody, and bkauth knows it.
        let service = service.filter(|_| proof != Proof::Signature);
        self.mark(caller, service);
        self.send(self.platform.request_for(caller, link), end).await
    }

    async fn misplace(&mut self) {
        for (name, present) in MISPLACED {
            let marker = random();
            self.markers.add(&marker, None);
            if name == "a password" {
                self.markers.add(&STANDARD.encode(format!("user:{marker}")), None);
            }
            let caller = self.platform.caller(Proof::Secret);
            self.mark(&caller, Some(Service::Bkauth));
            let link = self.platform.stack.source().url_of("/moved");
            let request = present(self.platform.request_for(&caller, &link), &marker);
            let status = self.send(request, "redirected").await;
            assert_eq!(status, 200, "{name}: {:?}", self.replies.last());
            let refused = present(stranger(link), &marker);
            assert_eq!(self.send(refused, "refused").await, 400, "{name}");
        }
    }

    /// The operator's credential for a source and the caller's own, to each end and to a refusal.
    async fn reach_private_source(&mut self) {
        for is_own in [false, true] {
            for (end, path) in ENDS.into_iter().chain([("denied", "/denied")]) {
                let caller = self.platform.caller(Proof::Secret);
                self.mark(&caller, Some(Service::Bkauth));
                let mut request = self.platform.request_for(&caller, &self.vault.source.url_of(path));
                if is_own {
                    let marker = random();
                    self.markers.add(&marker, None);
                    request = request.header("x-linkgate-source-authorization", &format!("Bearer {marker}"));
                }
                let status = self.send(request, end).await;
                let expected = match end {
                    "not stored" | "denied" => 502,
                    "not waited for" => 202,
                    _ => 200,
                };
                assert_eq!(status, expected, "own {is_own}, {end}: {:?}", self.replies.last());
            }
        }
    }

    /// What the policy lists is marked already, and asked of nobody.
    fn mark(&mut self, caller: &Caller, service: Option<Service>) {
        for secret in &caller.secrets {
            if !self.markers.0.contains_key(secret) {
                self.markers.add(secret, service);
            }
        }
    }

    async fn present_anywhere(&mut self) {
        for (n, (name, request)) in ANYWHERE_KINDS.into_iter().enumerate() {
            for (end, path) in ENDS {
                let identity = &self.platform.identity;
                let (secret, token) = (identity.add_app(CI), identity.add_token("anna"));
                self.markers.add(&secret, Some(Service::Bkauth));
                self.markers.add(&token, Some(Service::Login));
                let link = self.platform.stack.source().url_of(path);
                let fields = Fields { link, version: format!("{n}{path}").replace('/', "-"), secret, token };
                let status = self.send(request(&fields), end).await;
                assert!([200, 202, 502].contains(&status), "{name} {end}: {:?}", self.replies.last());
                let forged = Fields { secret: random(), ..fields };
                self.markers.add(&forged.secret, Some(Service::Bkauth));
                assert_eq!(self.send(request(&forged), end).await, 400, "{name} {end}");
            }
        }
    }

    /// Everything has been said that will be.
    async fn settle(&self) {
        let late = self.replies.iter().filter(|reply| reply.status == 202).count();
        let stored = self.replies.iter().filter(|reply| reply.status == 200).count() + late;
        wait_until_holds("the packages", async || self.platform.stack.rows().await.len() == stored).await;
        let gateway = self.platform.stack.gateway();
        wait_until_holds("the access log", async || {
            gateway.log().lines().filter(|line| line.starts_with('{')).count() >= self.replies.len()
        })
        .await;
        self.collector.wait_for("commit", stored).await;
    }

    /// Where nothing may be found, by name.
    async fn places(&self) -> Vec<(String, Vec<u8>)> {
        let stack = &self.platform.stack;
        let mut places = vec![
            ("Envoy's log".to_owned(), stack.gateway().log().into_bytes()),
            ("the store's log".to_owned(), stack.store().log().join("\n").into_bytes()),
            ("traces".to_owned(), self.collector.exports().into_iter().flat_map(|export| export.body).collect()),
            ("the replies".to_owned(), format!("{:?}", self.replies).into_bytes()),
            ("the source's requests".to_owned(), stack.source().requests().join("\n").into_bytes()),
            ("another origin's requests".to_owned(), self.elsewhere.requests().join("\n").into_bytes()),
        ];
        for page in ["/stats", "/stats/prometheus", "/clusters", "/config_dump", "/server_info"] {
            places.push((page.to_owned(), stack.gateway().admin_page(page).await.into_bytes()));
        }
        for (path, bytes) in files_below(self.data()) {
            places.extend(statements(&path, &bytes).map(|payload| ("a statement".to_owned(), payload)));
            places.push((path.display().to_string(), bytes));
        }
        places
    }

    async fn assert_nothing_leaked(&self) {
        let places = self.places().await;
        let size = |name: &str| -> usize {
            places.iter().filter(|(place, _)| place.ends_with(name)).map(|(_, bytes)| bytes.len()).sum()
        };
        for name in ["log", "traces", "catalog.sqlite3", "a statement", "another origin's requests", "/stats"] {
            assert!(size(name) > 100, "nothing of {name}");
        }
        for (place, bytes) in &places {
            self.markers.assert_absent(place, bytes, None);
        }
        let read = |head: &String| head.contains("authorization: Bearer ");
        assert!(self.vault.source.requests().iter().all(read), "the one that may read them does");
        let asked = self.platform.identity.asked();
        for service in Service::ALL {
            let has =
                |marker: &str| asked.iter().any(|asked| asked.service == service && shown(asked).contains(marker));
            let own = self.markers.0.iter().filter(|(_, of)| **of == Some(service));
            assert!(own.map(|(marker, _)| marker).any(|marker| has(marker)), "{service:?} was shown nothing");
        }
        for asked in asked {
            let text = format!("{} {} {:?} {}", asked.path, asked.query, asked.headers, asked.json());
            self.markers.assert_absent(
                &format!("a question to {:?}", asked.service),
                text.as_bytes(),
                Some(asked.service),
            );
        }
    }
}

/// All that a question shows.
fn shown(asked: &Asked) -> String {
    format!("{} {} {:?} {}", asked.path, asked.query, asked.headers, asked.json())
}

/// Where the store has its keys.
const OWN_KEYS: [&str; 2] = ["attestation.key", "signed-urls.key"];

/// All files of the store but its keys.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match std::fs::read(&path) {
        Ok(bytes) => vec![(path, bytes)],
        Err(_) => files_below(&path),
    };
    entries.filter(|path| !OWN_KEYS.iter().any(|key| path.ends_with(key))).flat_map(read).collect()
}

/// What the statements of a file say, which stands there in base64.
fn statements(path: &Path, bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let is_one = path.extension().is_some_and(|extension| extension == "jsonl");
    let lines: Vec<_> = if is_one { bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect() } else { Vec::new() };
    lines.into_iter().filter(|line| !line.is_empty()).map(|line| {
        let envelope: Value = serde_json::from_slice(&line).unwrap();
        STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()
    })
}

#[tokio::test]
async fn a_credential_stands_nowhere_but_with_who_may_read_it() {
    let mut ground = Ground::new().await;
    ground.add_own_keys();
    for proof in Proof::ALL {
        ground.call(proof).await;
    }
    ground.misplace().await;
    ground.present_anywhere().await;
    ground.reach_private_source().await;
    ground.settle().await;
    ground.assert_nothing_leaked().await;
}
