use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use super::*;
use linkgate_archive::Opaque;
use linkgate_store_core::budget::Bounds;

/// The public half of an Ed25519 key, from RFC 8410.
const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn read(key: &tempfile::NamedTempFile, more: &[(&str, &str)]) -> Result<Config, BadConfig> {
    let keys = format!("apigw={}", key.path().display());
    let mut vars: BTreeMap<String, String> =
        [(DATA_DIR, "/data"), (auth::PUBLIC_KEYS, keys.as_str())].map(|(k, v)| (k.into(), v.into())).into();
    vars.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Config::from_vars(&vars)
}

fn fault(more: &[(&str, &str)]) -> String {
    read(&file(PEM), more).unwrap_err().to_string()
}

#[test]
fn every_variable_is_in_the_reference() {
    let reference = include_str!("../../../docs/reference/SETTINGS.md");
    for name in VARIABLES {
        assert!(reference.contains(&format!("`{name}`")), "{name}: cargo xtask docs");
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = read(&file(PEM), &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.server.max_connections, 1536);
    let queue = config.server.queue;
    assert_eq!((queue.running, queue.per_host, queue.per_app), (64, 32, 16));
    assert_eq!((queue.queued, queue.queued_per_app), (256, 64));
    assert_eq!(config.server.files, Bounds { per_owner: 8, in_sum: 32 });
    assert_eq!((queue.resumed, config.server.max_lives), (4, 3));
    assert_eq!(queue.ended, Bounds { per_owner: 5_000, in_sum: 50_000 });
    assert_eq!(queue.nonces, Bounds { per_owner: 20_000, in_sum: 100_000 });
    let seats = |per_owner, in_sum, per_upload| SeatBounds { by_caller: Bounds { per_owner, in_sum }, per_upload };
    assert_eq!((config.server.waiters, config.server.watchers), (seats(128, 512, 64), seats(64, 256, 32)));
    assert_eq!(config.server.header_timeout, Duration::from_secs(10));
    assert_eq!(config.server.max_body_bytes, 1 << 20);
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(30));
    assert!(config.fetch.allowed_hosts.is_empty() && config.fetch.private_hosts.is_empty());
    assert_eq!(config.fetch.max_bytes, 1 << 30);
    assert_eq!(config.fetch.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.fetch.idle_timeout, Duration::from_secs(30));
    assert_eq!(config.fetch.total_timeout, Duration::from_secs(600));
    assert_eq!((config.fetch.min_rate, config.fetch.min_rate_window), (1024, Duration::from_secs(30)));
    assert_eq!(config.fetch.retry_delay, Duration::from_millis(500));
    assert_eq!(config.fetch.parallel, 4);
    let packages = Limits {
        opaque: Opaque::Refuse,
        max_entries: 100_000,
        max_unpacked_bytes: 4 << 30,
        max_ratio: 100,
        ..Limits::default()
    };
    assert_eq!((config.packages, packages.max_decoder_bytes), (packages.clone(), 75_497_472));
    let inspection = config.inspection;
    assert_eq!((inspection.decoder_memory_bytes, inspection.cpu_limit.as_secs()), (201_326_592, 300));
    assert_eq!(inspection.memory_timeout, config.fetch.total_timeout);
    assert_eq!(config.time_zone.iana_name(), Some("Asia/Shanghai"));
    assert_eq!(config.log.format, LogFormat::Text);
    assert!(config.traces.is_none());
    assert_eq!((config.data_dir, config.min_free_bytes), (PathBuf::from("/data"), 67_108_864));
    assert_eq!(config.maintenance.gc_interval, Some(Duration::from_secs(86_400)));
    assert_eq!(config.maintenance.gc_grace, Duration::from_secs(3_600));
    assert_eq!(config.maintenance.scrub_bytes_per_s, 1 << 20);
    assert_eq!(config.maintenance.job_retention, Duration::from_secs(604_800));
    assert_eq!(config.maintenance.purge_interval, Some(Duration::from_secs(3_600)));
    assert_eq!(config.maintenance.restore, Duration::from_secs(14 * 86_400));
}

#[test]
fn all_faults_are_named_at_once() {
    let none: BTreeMap<String, String> = [
        ("LINKGATE_STORE_LISTEN", "somewhere"),
        ("LINKGATE_STORE_MAX_BODYBYTES", "1"),
        ("LINKGATE_FETCH_MAX_BYTES", "1G"),
        ("LINKGATE_FETCH_ALLOWED_HOSTS", "good.example,https://bad.example"),
        ("LINKGATE_TIME_ZONE", "Mars/Olympus"),
        ("LINKGATE_LOG_FORMAT", "xml"),
    ]
    .map(|(k, v)| (k.into(), v.into()))
    .into();
    let text = Config::from_vars(&none).unwrap_err().to_string();
    for part in [
        "8 settings cannot be used",
        "LINKGATE_STORE_LISTEN is `somewhere`",
        "LINKGATE_STORE_MAX_BODYBYTES is not a setting of the store",
        "LINKGATE_DATA_DIR is required",
        "LINKGATE_JWT_PUBLIC_KEYS is required",
        "LINKGATE_FETCH_MAX_BYTES is `1G`",
        "`https://bad.example` must be `host` or `host:port`",
        "LINKGATE_TIME_ZONE is `Mars/Olympus`",
        "LINKGATE_LOG_FORMAT is `xml`",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn an_old_name_is_refused_with_the_new_one() {
    for (old, new) in RENAMED {
        assert!(fault(&[(old, "1")]).contains(&format!("{old} is now called `{new}`: set that instead")), "{old}");
        assert!(VARIABLES.contains(&new), "{new}");
    }
}

#[test]
fn numbers_out_of_their_range_are_refused() {
    for (name, value) in [
        (server::MAX_CONNECTIONS, "0"),
        (server::MAX_UPLOAD_LIVES, "0"),
        (server::HEADER_TIMEOUT, "0"),
        (fetch::MAX_BYTES, "-1"),
        (fetch::IDLE_TIMEOUT, "1.5"),
        (fetch::TOTAL_TIMEOUT, "99999999999999999999"),
        (fetch::MIN_RATE, "1k"),
        (fetch::MIN_RATE_WINDOW, "0"),
        (fetch::RETRY_DELAY, "0"),
        (fetch::PARALLEL, "0"),
        (package::ALLOW_UNKNOWN_FORMATS, "yes"),
        (package::MAX_ENTRIES, "0"),
        (package::MAX_UNPACKED_BYTES, "4G"),
        (package::MAX_RATIO, "0"),
        (MIN_FREE, "64M"),
        (maintenance::GC_INTERVAL, "2592001"),
        (maintenance::GC_GRACE, "0"),
        (maintenance::SCRUB_RATE, "1M"),
        (maintenance::JOB_RETENTION, "86399"),
        (maintenance::PURGE_INTERVAL, "-1"),
        (maintenance::RESTORE_DAYS, "3661"),
        (maintenance::EVENT_DAYS, "179"),
        (maintenance::RETENTION_INTERVAL, "2592001"),
        (rules::MODULE_MAX_BYTES, "1G"),
    ] {
        assert!(fault(&[(name, value)]).contains(name), "{name}={value}");
    }
}

#[test]
fn whoever_waits_or_watches_leaves_connections_to_others() {
    let text = fault(&[(server::MAX_CONNECTIONS, "1247")]);
    assert!(text.contains("LINKGATE_STORE_MAX_CONNECTIONS is `1247`") && text.contains("need 1248"), "{text}");
    let fitting = [
        (server::MAX_CONNECTIONS, "202"),
        (server::MAX_FILES, "2"),
        (server::MAX_WAITERS, "4"),
        (server::MAX_WATCHERS, "2"),
        (server::MAX_DOWNLOADS, "2"),
    ];
    assert_eq!(read(&file(PEM), &fitting).unwrap().server.max_connections, 202);
}

#[test]
fn zero_switches_maintenance_off() {
    let off = read(&file(PEM), &[(maintenance::GC_INTERVAL, "0"), (maintenance::SCRUB_RATE, "0")]).unwrap().maintenance;
    assert_eq!((off.gc_interval, off.scrub_bytes_per_s), (None, 0));
}

#[test]
fn looking_after_a_directory_needs_no_keys_but_no_typos_either() {
    let vars = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    assert_eq!(CommandConfig::from_vars(&vars(DATA_DIR, "/data")).unwrap().data_dir, PathBuf::from("/data"));
    let text = CommandConfig::from_vars(&vars("LINKGATE_STORE_GC_GRACE", "1")).unwrap_err().to_string();
    assert!(text.contains("2 settings") && text.contains("LINKGATE_DATA_DIR is required"), "{text}");
}

#[test]
fn an_empty_value_counts_as_not_given() {
    assert_eq!(read(&file(PEM), &[(server::MAX_CONNECTIONS, " ")]).unwrap().server.max_connections, 1536);
}

#[test]
fn only_public_keys_of_the_two_kinds_are_taken() {
    let cases = [
        ("nothing", "holds no PEM public key"),
        (&PEM.replace("PUBLIC", "PRIVATE"), "holds a private key"),
        (
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n",
            "neither an Ed25519 nor an RSA",
        ),
    ];
    for (pem, want) in cases {
        let text = read(&file(pem), &[]).unwrap_err().to_string();
        assert!(text.contains(want), "{want} in {text}");
    }
    assert!(fault(&[(auth::PUBLIC_KEYS, "kid=/no/such/file")]).contains("/no/such/file"));
    let pasted = fault(&[(auth::PUBLIC_KEYS, "kid=-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----")]);
    assert!(pasted.contains("holds the text of a key") && !pasted.contains("c2VjcmV0"), "{pasted}");
    assert!(fault(&[(auth::PUBLIC_KEYS, "/no/kid")]).contains("must be `kid=/path/to/public.pem`"));
}

#[test]
fn a_folder_of_keys_is_read_again_and_anything_wrong_in_it_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let setting = format!("apigw={}", folder.path().display());
    let read = || {
        Config::from_vars(&BTreeMap::from([
            (DATA_DIR.into(), "/data".into()),
            (auth::PUBLIC_KEYS.into(), setting.clone()),
        ]))
    };
    assert!(read().unwrap_err().to_string().contains("holds no file that ends in `.pem`"));
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a-public.pem", PEM);
    write(".being-written", "half a");
    let keys = read().unwrap().auth.keys;
    assert_eq!(keys.now().len(), 1);
    write("b-public.pem", PEM);
    keys.clone().replace(&read().unwrap().auth.keys);
    assert_eq!(keys.now().iter().filter(|key| key.kid() == "apigw").count(), 2);
    write("c-public.pem", &PEM.replace("PUBLIC", "PRIVATE"));
    assert!(read().unwrap_err().to_string().contains("c-public.pem, which holds a private key"));
}

#[test]
fn a_proxy_has_an_address_and_its_credentials_a_file_of_their_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let secret = file("user:s3cret\n");
    let path = secret.path().to_str().unwrap();
    let with = |more: &[(&str, &str)]| {
        let good = [(fetch::PROXY, "http://proxy.example:3128"), (fetch::NO_PROXY, "a.example, .b.example,10.0.0.0/8")];
        read(&file(PEM), &[&good, more].concat())
    };
    let config = with(&[(fetch::PROXY_CREDENTIALS, path)]).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    assert!(with(&[]).unwrap().fetch.proxy.is_some());
    let in_address = with(&[(fetch::PROXY, "http://user:s3cret@proxy.example:3128")]).unwrap_err().to_string();
    assert!(in_address.contains("file of credentials") && !in_address.contains("s3cret"), "{in_address}");
    let entry = with(&[(fetch::NO_PROXY, "a.example,*.b.example")]).unwrap_err().to_string();
    assert!(entry.contains("LINKGATE_FETCH_NO_PROXY has the entry `*.b.example`"), "{entry}");
    assert!(fault(&[(fetch::NO_PROXY, "a.example")]).contains("is of no use without LINKGATE_FETCH_PROXY"));
    assert!(fault(&[(fetch::PROXY_CREDENTIALS, path)]).contains("is of no use without LINKGATE_FETCH_PROXY"));
    let refused = |path: &str| with(&[(fetch::PROXY_CREDENTIALS, path)]).unwrap_err().to_string();
    assert!(refused("/no/such/file").contains("names /no/such/file, which cannot be read"));
    let empty = file("nothing");
    assert!(refused(empty.path().to_str().unwrap()).contains("does not hold `user:password`"));
    for wide in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(wide)).unwrap();
        let said = refused(path);
        assert!(said.contains(&format!("has the mode {wide:o}, so others than the store can")), "{said}");
    }
}

/// Self-signed, with a key that nobody uses: made for each test.
fn certificate_and_key() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["store.example".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_file_of_tls_settings_is_read_and_its_faults_have_a_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let (certificate, key) = certificate_and_key();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("own.pem", &certificate);
    write("own.key", &key);
    write("other.key", &certificate_and_key().1);
    write("both.pem", &format!("{certificate}{key}"));
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n");
    write("wide.key", &key);
    std::fs::set_permissions(folder.path().join("wide.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let read_tls = |text: &str| {
        write("tls.toml", text);
        let path = folder.path().join("tls.toml");
        read(&file(PEM), &[(host_tls::FILE, path.to_str().unwrap())]).map_err(|bad| bad.to_string())
    };
    let host = |more: &str| format!("[[hosts]]\nhost = \"a.example\"\n{more}\n");
    let identity = |key: &str| host(&format!("client_certificate_file = \"own.pem\"\nclient_key_file = \"{key}\""));
    let both = identity("own.key").replace("a.example", "b.example:8443") + &host("ca_file = \"own.pem\"");
    let config = read_tls(&both).unwrap();
    assert_eq!(config.fetch.host_tls.count(), 2);
    let shown = format!("{config:?}");
    assert!(key.lines().nth(1).is_some_and(|line| !shown.contains(line)), "no key in {shown}");
    for (text, want) in [
        (host("ca = \"own.pem\""), "line 3"),
        ("[[hosts]]\nca_file = \"own.pem\"\n".to_owned(), "missing field `host`"),
        (host("ca_file = \"own.pem\"").replace("a.ex", "*.ex"), "at the host `*.example`"),
        (host("ca_file = \"own.pem\"").repeat(2), "lists the host `a.example` twice"),
        (host(""), "it needs `ca_file`, or"),
        (host("client_key_file = \"own.key\""), "need each other"),
        (host("ca_file = \"missing.pem\""), "missing.pem, which cannot be read"),
        (host("ca_file = \"own.key\""), "`ca_file` names"),
        (host("ca_file = \"both.pem\""), "holds a private key"),
        (host("ca_file = \"tls.toml\""), "holds no PEM certificate"),
        (host("ca_file = \"broken.pem\""), "holds a certificate that cannot be read"),
        (identity("own.pem"), "holds no PEM private key"),
        (identity("other.key"), "the private key does not belong to the certificate"),
        (identity("wide.key"), "has the mode 644"),
    ] {
        let said = read_tls(&text).unwrap_err();
        assert!(said.contains(want) && !said.contains("BEGIN"), "{want} in {said}");
    }
}

#[test]
fn a_name_to_listen_on_is_looked_up() {
    let listen = |text: &str| ServerConfig::listen_from_vars(&BTreeMap::from([(server::LISTEN.into(), text.into())]));
    assert!(listen("localhost:8081").unwrap().ip().is_loopback());
    assert_eq!(listen("0.0.0.0:1").unwrap().to_string(), "0.0.0.0:1");
    for bad in ["somewhere", "127.0.0.1", "127.0.0.1:65536", "no-such-name.invalid:1"] {
        assert!(listen(bad).unwrap_err().to_string().contains(bad), "{bad}");
    }
}

#[test]
fn a_modules_file_is_read_and_its_faults_have_a_position() {
    let good = file(
        "unknown_modules = \"refuse\"\n[[modules]]\napp_code = \"app\"\nmodule = \"web\"\nsource_origin = \"s_mart\"\n",
    );
    assert!(read(&file(PEM), &[(modules::FILE, good.path().to_str().unwrap())]).is_ok());
    for (text, want) in [
        ("unknown_modules = \"maybe\"\n", "line 1"),
        ("unknown_modules = \"refuse\"\nother = 1\n", "line 2"),
        ("[[modules]]\napp_code = \"app\"\nmodule = \"web\"\nsource_origin = 3\n", "line 4"),
        ("[[modules]]\napp_code = \"a b\"\nmodule = \"web\"\nsource_origin = \"s_mart\"\n", "line 2"),
        (
            "[[modules]]\napp_code = \"a\"\nmodule = \"m\"\nsource_origin = \"s_mart\"\n[[modules]]\napp_code = \"a\"\nmodule = \"m\"\nsource_origin = \"ai_agent\"\n",
            "`a`/`m` twice",
        ),
    ] {
        let path = file(text);
        let fault = fault(&[(modules::FILE, path.path().to_str().unwrap())]);
        assert!(fault.contains(want), "{want} in {fault}");
    }
}
