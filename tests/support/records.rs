//! What a store would record, without a store.

use linkgate_archive::{Format, Package};
use linkgate_contract::{ModuleRef, Operator, PackageVersion, Sha256};
use linkgate_store_core::conditions::Conditions;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{BytesFrom, Fetched, NewPackage, Provenance};
use linkgate_store_core::settings::Quota;

/// A digest that nothing has.
#[must_use]
pub fn random_digest() -> [u8; 32] {
    let mut digest = [0; 32];
    getrandom::fill(&mut digest).unwrap();
    digest
}

/// A package that nobody has recorded yet, as it came from this link.
#[must_use]
pub fn new_package(target: ModuleRef, version: &str, digest: [u8; 32], url: String) -> NewPackage {
    let package = Package {
        format: Format::from_name("tar.gz").unwrap(),
        relative_path: "./".into(),
        meta_info: None,
        version: None,
        entries: 12,
        members: Vec::new(),
        unpacked_bytes: 1 << 20,
        proves_whole: true,
        version_fault: None,
    };
    let fetched = Fetched { final_url: url, etag: None, last_modified: None, has_marked_end: true };
    // As long as a real one.
    let statement = format!(r#"{{"payload":"{}"}}"#, "A".repeat(1_300));
    NewPackage {
        target,
        registers_module: true,
        package_name: format!("example:{version}"),
        version: PackageVersion::new(version).unwrap(),
        size_bytes: 1 << 18,
        sha256: Sha256::from_bytes(digest),
        package,
        provenance: Provenance { bytes: BytesFrom::Source(fetched), ended_ms: now_ms(), statement },
        operator: Operator::new("admin").unwrap(),
        allow_overwrite: false,
        conditions: Conditions::default(),
        quota: Quota::default(),
    }
}
