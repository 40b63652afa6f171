//! Packages, modules and events, as they are listed.

use std::collections::HashSet;

use linkgate_archive::Format;
use linkgate_contract::{ModuleName, ModuleRef, Operator, PackageId, PackageVersion, PinName};

use super::{Adapters, LIMITS, digest, job, package};
use crate::conditions::Conditions;
use crate::ingest::ports::{
    Actor, Catalog, Change, Changes as _, Count, EventQuery, FileState, Liveness, NewPackage, NewPin, PackageFilter,
    PackageKey, PackageOrder, PackageQuery, PackageReader, PackageSums, Sums, TimeSpan,
};
use crate::testing::example_target;

/// Records these versions, each with other bytes.
async fn record_versions(catalog: &impl Catalog, versions: &[&str]) {
    for (number, version) in (0..).zip(versions) {
        let new = NewPackage { size_bytes: 100 - number, ..package(version.as_bytes(), version) };
        catalog.record(new, job(1, "h", "a").record, None).await.unwrap();
    }
}

/// The versions of a page, and how many there are in all.
async fn versions(catalog: &impl PackageReader, query: PackageQuery) -> (Vec<String>, Count) {
    let page = catalog.list_packages(&example_target(), &query).await.unwrap();
    (page.rows.into_iter().map(|row| row.version.as_str().to_owned()).collect(), page.count)
}

fn ordered(key: PackageKey, is_descending: bool) -> PackageQuery {
    PackageQuery { order: vec![PackageOrder { key, is_descending }], limit: 100, ..PackageQuery::default() }
}

fn filtered(filter: PackageFilter) -> PackageQuery {
    PackageQuery { filter, limit: 100, ..ordered(PackageKey::Id, false) }
}

/// Every order is total: what is equal is in the order of ids, and a walk shows each package once.
pub async fn packages_are_listed_in_order<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    record_versions(&catalog, &["1.10", "v1.9", "1.10-rc1", "1.2"]).await;
    let by_size = NewPackage { size_bytes: 99, ..package(b"x", "zz") };
    catalog.record(by_size, job(1, "h", "a").record, None).await.unwrap();
    for (key, expected) in [
        (PackageKey::Id, ["1.10", "v1.9", "1.10-rc1", "1.2", "zz"]),
        (PackageKey::Created, ["1.10", "v1.9", "1.10-rc1", "1.2", "zz"]),
        (PackageKey::Updated, ["1.10", "v1.9", "1.10-rc1", "1.2", "zz"]),
        (PackageKey::Version, ["1.10", "1.10-rc1", "1.2", "v1.9", "zz"]),
        (PackageKey::PackageName, ["1.10", "1.10-rc1", "1.2", "v1.9", "zz"]),
        (PackageKey::NaturalVersion, ["zz", "1.2", "v1.9", "1.10-rc1", "1.10"]),
        (PackageKey::PackageSize, ["1.2", "1.10-rc1", "v1.9", "zz", "1.10"]),
    ] {
        assert_eq!(versions(&catalog, ordered(key, false)).await.0, expected, "{key:?}");
        let mut reversed = expected;
        reversed.reverse();
        assert_eq!(versions(&catalog, ordered(key, true)).await.0, reversed, "{key:?}, the other way");
        let mut walked = Vec::new();
        for offset in 0.. {
            let one = PackageQuery { limit: 1, offset, ..ordered(key, false) };
            let page = catalog.list_packages(&example_target(), &one).await.unwrap();
            assert_eq!((page.count, page.has_more), (Count::Exactly(5), offset < 4));
            walked.extend(page.rows.into_iter().map(|row| row.version.as_str().to_owned()));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(walked, expected, "{key:?}, one by one");
    }
    let newest = PackageQuery { limit: 2, ..PackageQuery::default() };
    assert_eq!(versions(&catalog, newest).await, (vec!["zz".to_owned(), "1.2".to_owned()], Count::Exactly(5)));
}

/// A walk by ids goes on where it was, whatever came in meanwhile.
pub async fn walks_by_id_stay_where_they_are<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    record_versions(&catalog, &["1", "2", "3"]).await;
    let first = PackageQuery { limit: 2, ..ordered(PackageKey::Id, true) };
    let page = catalog.list_packages(&example_target(), &first).await.unwrap();
    let last = page.rows.last().unwrap().id;
    record_versions(&catalog, &["4", "5"]).await;
    let next = PackageQuery { before: Some(last), ..first };
    assert_eq!(versions(&catalog, next).await, (vec!["1".to_owned()], Count::Exactly(5)), "all are counted");
}

/// Each term must be found, as text and without regard to case; other filters take the very value.
pub async fn packages_are_found_by_what_they_are<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let catalog = adapters.catalog();
    record_versions(&catalog, &["1.0-RELEASE", "1.0%", "10_0", "100", "版本ÄÖÜ"]).await;
    let find = async |terms: &[&str]| {
        let terms = terms.iter().map(|term| (*term).to_owned()).collect();
        versions(&catalog, filtered(PackageFilter { terms, ..PackageFilter::default() })).await.0
    };
    for (terms, expected) in [
        (&["release"][..], &["1.0-RELEASE"][..]),
        (&["elea", "1.0"], &["1.0-RELEASE"]),
        (&["%"], &["1.0%"]),
        (&["0%"], &["1.0%"]),
        (&["_"], &["10_0"]),
        (&["1.0%"], &["1.0%"]),
        (&["package:10"], &["10_0", "100"]),
        (&["版本äöü"], &["版本ÄÖÜ"]),
        (&["äö"], &["版本ÄÖÜ"]),
        (&["版"], &["版本ÄÖÜ"]),
        (&["\""], &[]),
        (&["\\"], &[]),
        (&["1.0 OR 100"], &[]),
        (&["release", "%"], &[]),
        // The size of the first.
        (&["package:1.0", "100"], &["1.0-RELEASE"]),
        (&["RELEASEpackage"], &[]),
    ] {
        assert_eq!(find(terms).await, expected, "{terms:?}");
    }
    let find = |filter: PackageFilter| versions(&catalog, filtered(filter));
    let all = PackageFilter::default;
    let version = Some(PackageVersion::new("100").unwrap());
    for (filter, found) in [
        (PackageFilter { version: version.clone(), ..all() }, 1),
        (PackageFilter { package_name: Some("package:100".into()), ..all() }, 1),
        (PackageFilter { package_name: Some("package:10".into()), ..all() }, 0),
        (PackageFilter { sha256: Some(digest(b"100")), ..all() }, 1),
        (PackageFilter { sha256: Some(digest(b"100")), version: version.clone(), deletion: Liveness::All, ..all() }, 1),
        (PackageFilter { operator: Some(Operator::new("admin").unwrap()), ..all() }, 5),
        (PackageFilter { operator: Some(Operator::new("adm").unwrap()), ..all() }, 0),
        (PackageFilter { deletion: Liveness::All, ..all() }, 5),
        (PackageFilter { deletion: Liveness::Deleted, ..all() }, 0),
        (PackageFilter { is_pinned: Some(true), ..all() }, 0),
        (PackageFilter { is_pinned: Some(false), ..all() }, 5),
        (PackageFilter { created: TimeSpan { from_ms: Some(0), until_ms: Some(i64::MAX) }, ..all() }, 5),
        (PackageFilter { updated: TimeSpan { from_ms: None, until_ms: Some(1) }, ..all() }, 0),
    ] {
        let (rows, count) = find(filter.clone()).await;
        assert_eq!((rows.len(), count), (found, Count::Exactly(found as u64)), "{filter:?}");
    }
}

/// What is known of a package is told to its own module alone, and sums follow what is recorded.
pub async fn details_and_sums_are_of_the_module<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, target) = (adapters.catalog(), example_target());
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    assert_eq!(catalog.package_sums(&target).await.unwrap(), PackageSums::default());
    let recorded = catalog.record(package(b"bytes", "1"), job(1, "h", "a").record, None).await.unwrap().row;
    let elsewhere = NewPackage { target: other.clone(), ..package(b"other bytes", "1") };
    catalog.record(elsewhere, job(2, "h", "a").record, None).await.unwrap();
    let detail = catalog.find_package(&target, recorded.id).await.unwrap().unwrap();
    assert_eq!((&detail.row, detail.revision, detail.format.as_deref()), (&recorded, 1, Some(Format::Opaque.name())));
    assert_eq!((detail.source.as_deref(), detail.entries, detail.pins.len()), (Some("https://h/1"), Some(0), 0));
    assert_eq!(catalog.find_package(&other, recorded.id).await.unwrap(), None, "it is of another module");
    let overwriting = NewPackage { allow_overwrite: true, ..package(b"more bytes", "1") };
    catalog.record(overwriting, job(3, "h", "a").record, None).await.unwrap();
    let changed = catalog.find_package(&target, recorded.id).await.unwrap().unwrap();
    assert_eq!((changed.revision, changed.row.size_bytes), (2, 10));
    let sums = |packages, bytes| Sums { packages, bytes, ..Sums::default() };
    assert_eq!(
        catalog.package_sums(&target).await.unwrap(),
        PackageSums { module: sums(1, 10), application: sums(2, 21) }
    );
    let events = catalog.list_events(&target, &EventQuery { limit: 10, ..EventQuery::default() }).await.unwrap();
    assert!(!events.has_more);
}

/// Modules are listed by name, each with its own sums, behind whichever was seen last.
pub async fn modules_are_listed_by_name<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, first) = (adapters.catalog(), example_target());
    assert_eq!(catalog.list_modules(None, 10).await.unwrap(), []);
    let module = |name: &str| ModuleRef { module: ModuleName::new(name).unwrap(), ..first.clone() };
    for (target, version) in [(module("web"), "1"), (module("web"), "2"), (module("api"), "1")] {
        let new = NewPackage { target, ..package(b"bytes", version) };
        catalog.record(new, job(1, "h", "a").record, None).await.unwrap();
    }
    let all = catalog.list_modules(None, 10).await.unwrap();
    let shown: Vec<_> = all.iter().map(|row| (row.target.clone(), row.sums.packages, row.sums.bytes)).collect();
    assert_eq!(shown, [(module("api"), 1, 5), (module("web"), 2, 10)]);
    assert_eq!(catalog.list_modules(None, 1).await.unwrap(), all[..1]);
    assert_eq!(catalog.list_modules(Some(&module("api")), 10).await.unwrap(), all[1..]);
    assert_eq!(catalog.list_modules(Some(&module("web")), 10).await.unwrap(), []);
}

/// Of packages on a page those are told that have a pin now, in their own module.
pub async fn pinned_packages_are_told<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, target) = (adapters.catalog(), example_target());
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    record_versions(&catalog, &["1", "2", "3"]).await;
    let page = catalog.list_packages(&target, &ordered(PackageKey::Id, false)).await.unwrap();
    let ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
    let actor = Actor { app: None, operator: None, request_id: String::new(), client_address: String::new() };
    let change = |id| Change { target: target.clone(), id, conditions: Conditions::default(), actor: actor.clone() };
    let name = PinName::new("release").unwrap();
    let by = Operator::new("admin").unwrap();
    for id in &ids[..2] {
        let pin = NewPin { name: name.clone(), until_ms: None, protect_bytes: false, by: by.clone() };
        catalog.pin(&change(*id), pin).await.unwrap();
    }
    let told: HashSet<_> = catalog.pinned_among(&target, &ids).await.unwrap().into_iter().collect();
    assert_eq!(told, HashSet::from([ids[0], ids[1]]));
    catalog.unpin(&change(ids[1]), &name).await.unwrap();
    assert_eq!(catalog.pinned_among(&target, &ids).await.unwrap(), [ids[0]], "the other one has no pin any more");
    assert_eq!(catalog.pinned_among(&target, &ids[1..]).await.unwrap(), []);
    assert_eq!(catalog.pinned_among(&target, &[]).await.unwrap(), []);
    assert_eq!(catalog.pinned_among(&other, &ids).await.unwrap(), [], "they are of another module");
}

/// A package is read by its number, in its own module alone, as it was recorded last.
pub async fn a_package_is_read_in_its_own_module_alone<A: Adapters>() {
    let adapters = A::create(LIMITS).await;
    let (catalog, target) = (adapters.catalog(), example_target());
    let first = catalog.record(package(b"first", "1"), job(1, "h", "a").record, None).await.unwrap().row;
    let again = NewPackage { allow_overwrite: true, ..package(b"again", "1") };
    let statement = again.provenance.statement.clone();
    catalog.record(again, job(2, "h", "a").record, None).await.unwrap();
    let file = catalog.find_file(&target, first.id).await.unwrap().unwrap();
    assert_eq!((file.sha256, file.size_bytes, file.state), (digest(b"again"), 5, FileState::Live));
    assert_eq!((file.version.as_str(), file.created_ms), ("1", first.created_ms));
    assert_eq!(catalog.find_statement(&target, first.id).await.unwrap(), Some(statement));
    let other = ModuleRef { module: ModuleName::new("other").unwrap(), ..target.clone() };
    for (target, id) in [(&other, first.id), (&target, PackageId::from_row(first.id.row() + 1))] {
        assert_eq!(catalog.find_file(target, id).await.unwrap(), None);
        assert_eq!(catalog.find_statement(target, id).await.unwrap(), None);
    }
}
