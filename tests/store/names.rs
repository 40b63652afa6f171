//! Names whose addresses change, lie or are missing; with the system's own resolver, and addresses that are public.

use std::time::Duration;

use linkgate_contract::{AllowList, HostRule};
use linkgate_store::config::Config;
use linkgate_tests::network::inside;
use linkgate_tests::{
    Behaviour, FakeSource, NameServer, RangedFile, TestStore, package_of, package_of_size, sha256_hex,
};

use crate::{assert_field_refused, assert_refused};

const PRIVATE: &str = "The host may not be fetched from.";
const UNREACHABLE: &str = "The package_url could not be read";
const LINK: &str = "http://files.example/example.tar.gz";
/// Public addresses, of this machine while a test runs inside.
const PUBLIC: &str = "93.184.216.34";
const OTHER: &str = "93.184.216.35";
const PUBLIC_V6: &str = "2606:2800:220:1::34";
/// Addresses that must not be reached, where something listens all the same.
const METADATA: &str = "169.254.169.254";
const NEIGHBOUR: &str = "10.0.0.7";

/// What a test has around it.
struct World {
    names: NameServer,
    /// Behind [`PUBLIC`].
    source: FakeSource,
    /// Behind every address that must not be reached.
    forbidden: Vec<FakeSource>,
}

fn world<F: Future<Output = ()>>(test: &str, behaviour: Behaviour, body: impl FnOnce(World) -> F) {
    let addresses = [PUBLIC, OTHER, PUBLIC_V6, METADATA, NEIGHBOUR];
    inside(&format!("names::{test}"), &addresses, || async {
        let names = NameServer::start().await;
        let source = FakeSource::start_at(&format!("{PUBLIC}:80"), behaviour).await;
        let mut forbidden = Vec::new();
        for address in [METADATA, NEIGHBOUR, "127.0.0.1", "[::1]"] {
            forbidden
                .push(FakeSource::start_at(&format!("{address}:80"), Behaviour::Bytes(package_of("secret"))).await);
        }
        body(World { names, source, forbidden }).await;
    });
}

impl World {
    /// Nobody asked where nobody may.
    fn assert_untouched(&self) {
        for source in &self.forbidden {
            assert!(source.requests().is_empty(), "{} was asked: {:?}", source.host(), source.requests());
        }
    }
}

/// A store that may fetch from these, and knows of no private host.
async fn store_allowing(hosts: &[&str]) -> TestStore {
    TestStore::with(|c| allow(c, hosts)).await
}

fn allow(config: &mut Config, hosts: &[&str]) {
    config.fetch.allowed_hosts = AllowList::new(hosts.iter().map(|host| HostRule::new(host).unwrap()).collect());
}

fn package() -> Behaviour {
    Behaviour::Bytes(package_of_size(1_000))
}

#[test]
fn a_public_name_is_fetched_from_and_asked_for_once() {
    world("a_public_name_is_fetched_from_and_asked_for_once", package(), async |world| {
        world.names.knows("files.example", &[&[PUBLIC], &["127.0.0.1"]]);
        let store = store_allowing(&["files.example"]).await;
        // A second answer would lead elsewhere; what was checked is what is connected to.
        assert_eq!(store.send(store.request(LINK)).await.status, 200);
        assert_eq!((world.names.asked("files.example"), world.source.requests().len()), (1, 1));
        assert!(world.source.requests()[0].contains("host: files.example\r\n"));
        assert_eq!(store.stored_files(), [sha256_hex(&package_of_size(1_000))]);
        // And what was checked for one upload counts for no other.
        let next = store.send(store.request(LINK).version("2").in_english()).await;
        assert_eq!((next.status, &next.json()["detail"]), (400, &format!("package_url: {PRIVATE}").into()));
        assert_eq!((store.rows().await.len(), world.names.asked("files.example")), (1, 2));
        world.assert_untouched();
    });
}

#[test]
fn one_bad_address_among_good_ones_refuses_the_name() {
    world("one_bad_address_among_good_ones_refuses_the_name", package(), async |world| {
        let store = store_allowing(&["files.example"]).await;
        for addresses in [
            &[PUBLIC, "127.0.0.1"][..],
            &["127.0.0.1", PUBLIC],
            &[PUBLIC, METADATA, OTHER],
            &[NEIGHBOUR, PUBLIC],
            &[PUBLIC, "::1"],
            &[PUBLIC, PUBLIC_V6, "fd00:ec2::254"],
            &[PUBLIC, "::ffff:127.0.0.1"],
            &[PUBLIC, "64:ff9b::7f00:1"],
            &[METADATA],
            &["0.0.0.0"],
            &["100.100.100.200"],
        ] {
            world.names.knows("files.example", &[addresses]);
            assert_field_refused(&store, store.request(LINK), "package_url", PRIVATE).await;
            assert_eq!(world.names.asked("files.example"), 1, "a refusal is not tried again: {addresses:?}");
        }
        assert!(world.source.requests().is_empty(), "not the good ones either");
        world.assert_untouched();
        world.names.knows("files.example", &[&[PUBLIC, OTHER]]);
        assert_eq!(store.send(store.request(LINK)).await.status, 200);
    });
}

#[test]
fn a_name_that_turns_private_between_attempts_is_refused() {
    let fails = Behaviour::Turns(vec![Behaviour::Status(503), package()]);
    world("a_name_that_turns_private_between_attempts_is_refused", fails, async |world| {
        for address in ["127.0.0.1", METADATA, NEIGHBOUR] {
            world.names.knows("files.example", &[&[PUBLIC], &[address]]);
            world.source.on("/example.tar.gz", Behaviour::Status(503));
            let store = store_allowing(&["files.example"]).await;
            assert_field_refused(&store, store.request(LINK), "package_url", PRIVATE).await;
            assert_eq!(world.names.asked("files.example"), 2);
        }
        assert_eq!(world.source.requests().len(), 3);
        world.assert_untouched();
    });
}

#[test]
fn a_name_that_turns_private_before_the_rest_of_a_file_leaves_nothing() {
    let cut = Behaviour::Ranged(RangedFile::new(package_of_size(100_000)).cut_at(60_000));
    world("a_name_that_turns_private_before_the_rest_of_a_file_leaves_nothing", cut, async |world| {
        world.names.knows("files.example", &[&[PUBLIC], &["127.0.0.1"]]);
        let store = store_allowing(&["files.example"]).await;
        assert_field_refused(&store, store.request(LINK), "package_url", PRIVATE).await;
        assert_eq!(world.source.requests().len(), 1);
        world.assert_untouched();
    });
}

#[test]
fn every_redirect_asks_for_the_name_anew() {
    let again = Behaviour::Redirect(302, "/again".into());
    world("every_redirect_asks_for_the_name_anew", again, async |world| {
        world.source.on("/again", package());
        let store = store_allowing(&["files.example", "mirror.example"]).await;
        // The same name, which is another by then.
        world.names.knows("files.example", &[&[PUBLIC], &["127.0.0.1"]]);
        assert_field_refused(&store, store.request(LINK), "package_url", PRIVATE).await;
        // Another name, with a bad address.
        world.source.on("/mirror", Behaviour::Redirect(302, "http://mirror.example/example.tar.gz".into()));
        let mirrored = "http://files.example/mirror";
        for address in ["127.0.0.1", METADATA, NEIGHBOUR, "::1"] {
            world.names.knows("files.example", &[&[PUBLIC]]);
            world.names.knows("mirror.example", &[&[address]]);
            assert_field_refused(&store, store.request(mirrored), "package_url", PRIVATE).await;
        }
        world.assert_untouched();
        // Another name with an address of its own, and one that stayed.
        let mirror = FakeSource::start_at(&format!("{OTHER}:80"), Behaviour::Bytes(package_of("mirrored"))).await;
        world.names.knows("mirror.example", &[&[OTHER]]);
        assert_eq!(
            store.send(store.request(mirrored)).await.json()["sha256_signature"],
            sha256_hex(&package_of("mirrored"))
        );
        assert_eq!(mirror.requests().len(), 1);
        world.names.knows("files.example", &[&[PUBLIC]]);
        assert_eq!(store.send(store.request(LINK).version("2")).await.status, 200);
        assert_eq!(world.names.asked("files.example"), 2);
    });
}

#[test]
fn a_redirect_to_an_address_that_is_not_public_is_refused_though_it_is_allowed() {
    let test = "a_redirect_to_an_address_that_is_not_public_is_refused_though_it_is_allowed";
    world(test, package(), async |world| {
        world.names.knows("files.example", &[&[PUBLIC]]);
        let hosts = [METADATA, NEIGHBOUR, "127.0.0.1", "[::1]", "[::ffff:169.254.169.254]"];
        let store = store_allowing(&[&["files.example"], &hosts[..]].concat()).await;
        let strict = store_allowing(&["files.example"]).await;
        for (host, shown) in hosts.into_iter().zip([METADATA, NEIGHBOUR, "127.0.0.1", "[::1]", "[::ffff:a9fe:a9fe]"]) {
            let to = format!("http://{host}/latest/meta-data/");
            world.source.on("/example.tar.gz", Behaviour::Redirect(302, to));
            assert_field_refused(&store, store.request(LINK), "package_url", PRIVATE).await;
            let message = format!("The link redirects to host '{shown}', which is not in the allow-list.");
            assert_field_refused(&strict, strict.request(LINK), "package_url", &message).await;
        }
        world.assert_untouched();
    });
}

#[test]
fn a_name_that_moves_between_public_addresses_is_followed() {
    let fails = Behaviour::Status(503);
    world("a_name_that_moves_between_public_addresses_is_followed", fails, async |world| {
        let moved = FakeSource::start_at(&format!("{OTHER}:80"), package()).await;
        world.names.knows("files.example", &[&[PUBLIC], &[OTHER]]);
        let store = store_allowing(&["files.example"]).await;
        assert_eq!(store.send(store.request(LINK)).await.status, 200);
        assert_eq!((world.source.requests().len(), moved.requests().len()), (1, 1));
        // Of two addresses the one that answers.
        world.names.knows("both.example", &[&[PUBLIC_V6, OTHER]]);
        let store = store_allowing(&["both.example"]).await;
        assert_eq!(store.send(store.request("http://both.example/example.tar.gz")).await.status, 200);
        world.assert_untouched();
    });
}

#[test]
fn a_name_without_an_address_is_told_from_a_name_server_that_is_silent() {
    let test = "a_name_without_an_address_is_told_from_a_name_server_that_is_silent";
    world(test, package(), async |world| {
        let store = store_allowing(&["nowhere.example", "empty.example"]).await;
        world.names.knows("empty.example", &[&[]]);
        world.names.is_silent_about("silent.example");
        for name in ["nowhere.example", "empty.example"] {
            let request = store.request(format!("http://{name}/example.tar.gz"));
            let detail = format!("{UNREACHABLE}: the host name could not be resolved");
            assert_refused(&store, request, 502, "SOURCE_UNREACHABLE", &detail).await;
        }
        let impatient = TestStore::with(|c| {
            allow(c, &["silent.example"]);
            c.fetch.connect_timeout = Duration::from_millis(700);
        })
        .await;
        let silent = impatient.request("http://silent.example/example.tar.gz");
        assert_refused(&impatient, silent, 504, "SOURCE_TIMEOUT", "Reading the package_url timed out").await;
        world.assert_untouched();
    });
}
