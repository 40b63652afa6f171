//! What a program is made of, as a CycloneDX 1.5 document: asked of cargo, so it is what was built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cyclonedx_bom::external_models::spdx::SpdxExpression;
use cyclonedx_bom::external_models::uri::Purl;
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata as BomMetadata;
use cyclonedx_bom::prelude::{Bom, SpecVersion, Validate};
use serde::Deserialize;

use crate::error::{Failure, Outcome, Trying};
use crate::run::capture;
use crate::workspace::Workspace;

const SPEC_VERSION: SpecVersion = SpecVersion::V1_5;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    #[serde(default)]
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// What is linked into one of our crates.
pub struct CrateList {
    /// The document.
    pub document: Vec<u8>,
    /// The same for us, our own among them.
    pub crates: BTreeSet<LinkedCrate>,
}

/// A crate that ends up in a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its terms, as it says them.
    pub license: Option<String>,
    /// Where its sources are.
    pub folder: PathBuf,
    /// Whether it is not ours.
    pub is_of_others: bool,
}

/// What static programs are built for.
pub fn static_target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// What is linked into one of our crates where it is built for this kind of machine.
pub fn list_crates(workspace: &Workspace, crate_name: &str, target: &str) -> Outcome<CrateList> {
    let mut command = workspace.cargo();
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", target]);
    let text = capture(&mut command)?;
    let metadata: Metadata = serde_json::from_str(&text).trying(|| "read what `cargo metadata` printed".to_owned())?;
    let lock = fs::read_to_string(workspace.path("Cargo.lock")).trying(|| "read Cargo.lock".to_owned())?;
    let document = render_bom(build_bom(&metadata, &read_checksums(&lock), crate_name)?)?;
    let root = metadata.packages.iter().find(|package| package.name == crate_name && package.source.is_none());
    let linked = root.map(|root| find_linked(&metadata, &root.id)).unwrap_or_default();
    let crates = metadata.packages.iter().filter(|package| linked.contains_key(package.id.as_str()));
    Ok(CrateList { document, crates: crates.map(LinkedCrate::from).collect() })
}

impl From<&Package> for LinkedCrate {
    fn from(package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            license: package.license.clone(),
            folder: package.manifest_path.parent().unwrap_or(Path::new("")).to_owned(),
            is_of_others: package.source.is_some(),
        }
    }
}

/// Writes the document of one of our crates.
pub fn write_bom(workspace: &Workspace, crate_name: &str, to: &Path) -> Outcome<()> {
    let text = list_crates(workspace, crate_name, &static_target())?.document;
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).and_then(|()| fs::write(to, text)).trying(|| format!("write {}", to.display()))
}

/// Fails on a document that is not valid.
fn render_bom(bom: Bom) -> Outcome<Vec<u8>> {
    let result = bom.validate_version(SPEC_VERSION);
    if result.has_errors() {
        let errors: Vec<_> = result.errors().map(|(field, kind)| format!("{field}: {kind:?}")).collect();
        return Err(Failure::new(format!("the list of crates is no valid CycloneDX document: {}", errors.join("; "))));
    }
    let mut text = Vec::new();
    bom.output_as_json(&mut text, SPEC_VERSION).trying(|| "write the list of crates as JSON".to_owned())?;
    text.push(b'\n');
    Ok(text)
}

/// Without a serial number or a time, so that the same sources give the same bytes.
fn build_bom(metadata: &Metadata, checksums: &BTreeMap<(String, String), String>, crate_name: &str) -> Outcome<Bom> {
    let packages: BTreeMap<_, _> = metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let root = metadata.packages.iter().find(|package| package.name == crate_name && package.source.is_none());
    let root = root.ok_or_else(|| Failure::new(format!("`cargo metadata` does not know {crate_name}")))?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (id, on) in &find_linked(metadata, &root.id) {
        let package =
            packages.get(id).ok_or_else(|| Failure::new(format!("`cargo metadata` does not explain {id}")))?;
        let on = on.iter().filter_map(|id| Some(reference(packages.get(id)?))).collect();
        dependencies.push(Dependency { dependency_ref: reference(package), dependencies: on });
        if package.id != root.id {
            components.push(build_component(package, checksums)?);
        }
    }
    let ours = Component::new(Classification::Application, &root.name, &root.version, Some(reference(root)));
    Ok(Bom {
        serial_number: None,
        metadata: Some(BomMetadata { component: Some(ours), ..BomMetadata::default() }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(dependencies)),
        ..Bom::default()
    })
}

/// What ends up in the program, each with what it uses: neither tests nor what only runs while it is built.
fn find_linked<'a>(metadata: &'a Metadata, root: &'a str) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let nodes: BTreeMap<_, _> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let (mut found, mut open) = (BTreeMap::new(), vec![root]);
    while let Some(id) = open.pop() {
        if found.contains_key(id) {
            continue;
        }
        let deps = nodes.get(id).map(|node| node.deps.as_slice()).unwrap_or_default();
        let used = deps.iter().filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
        let used: BTreeSet<_> = used.map(|dependency| dependency.pkg.as_str()).collect();
        open.extend(&used);
        found.insert(id, used);
    }
    found
}

fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn build_component(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Outcome<Component> {
    let Package { name, version, .. } = package;
    let mut component = Component::new(Classification::Library, name, version, Some(reference(package)));
    component.purl = Some(Purl::new("cargo", name, version).trying(|| format!("name {name} in a package URL"))?);
    if let Some(license) = &package.license {
        let expression = SpdxExpression::parse_lax(license.clone());
        let expression = expression.trying(|| format!("read the licence of {name} {version}, {license:?}"))?;
        component.licenses = Some(Licenses(vec![LicenseChoice::Expression(expression)]));
    }
    if let Some(sha256) = checksums.get(&(name.clone(), version.clone())) {
        let hash = Hash { alg: HashAlgorithm::SHA_256, content: HashValue(sha256.clone()) };
        component.hashes = Some(Hashes(vec![hash]));
    }
    Ok(component)
}

/// The digests of the crates, from the lock file.
fn read_checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|text| text.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks.filter_map(|b| Some(((value(b, "name")?, value(b, "version")?), value(b, "checksum")?))).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use serde_json::{Value, json};

    use super::*;
    use crate::dist::CRATES;

    fn package(name: &str, source: Option<&str>) -> Value {
        json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source})
    }

    #[test]
    fn only_what_is_linked_is_listed_with_its_digest() {
        let dependency = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("ours", None), package("used", Some("r")), package("deep", Some("r")), package("cc", Some("r"))],
            "resolve": {"nodes": [
                {"id": "ours", "deps": [dependency("used", Value::Null), dependency("cc", json!("build"))]},
                {"id": "used", "deps": [dependency("deep", Value::Null)]},
                {"id": "deep", "deps": []},
                {"id": "cc", "deps": []},
            ]},
        });
        let digest = "ab".repeat(32);
        let lock = format!("[[package]]\nname = \"used\"\nversion = \"1.0.0\"\nchecksum = \"{digest}\"\n");
        let metadata = serde_json::from_value(metadata).unwrap();
        let bom = build_bom(&metadata, &read_checksums(&lock), "ours").unwrap();
        assert_eq!(render_bom(bom.clone()).unwrap(), render_bom(bom.clone()).unwrap());
        let document: Value = serde_json::from_slice(&render_bom(bom).unwrap()).unwrap();
        assert_eq!((&document["bomFormat"], &document["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        assert_eq!((&document["version"], &document["serialNumber"]), (&json!(1), &Value::Null));
        assert_eq!(document["components"][1]["purl"], "pkg:cargo/used@1.0.0");
        let names: Vec<_> = document["components"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["deep", "used"]);
        assert_eq!(document["components"][1]["hashes"][0]["content"], digest);
        assert_eq!(document["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["metadata"]["component"]["bom-ref"], "pkg:cargo/ours@1.0.0");
        assert_eq!(document["dependencies"][2]["dependsOn"], json!(["pkg:cargo/deep@1.0.0"]));
    }

    /// The document of each of our crates that is handed out, with its name and what it is built for.
    fn documents() -> Vec<(&'static str, String, Value)> {
        let workspace = Workspace::find().unwrap();
        let document = |(name, target): (&'static str, Option<&str>)| {
            let target = target.map_or_else(static_target, str::to_owned);
            let list = list_crates(&workspace, name, &target).unwrap();
            (name, target, serde_json::from_slice(&list.document).unwrap())
        };
        CRATES.map(document).into()
    }

    fn components(document: &Value) -> &[Value] {
        document["components"].as_array().unwrap()
    }

    #[test]
    fn every_crate_of_our_programs_has_a_licence_and_a_digest() {
        for (_, _, document) in documents() {
            let ours = |component: &&Value| component["name"].as_str().unwrap().starts_with("linkgate-");
            let others: Vec<_> = components(&document).iter().filter(|component| !ours(component)).collect();
            assert!(others.len() > 20, "{}", others.len());
            for component in others {
                assert!(component["licenses"][0]["expression"].is_string(), "{component}");
                assert_eq!(component["hashes"][0]["alg"], "SHA-256", "{component}");
            }
        }
    }

    /// Cargo says twice what is linked, by different commands.
    #[test]
    fn a_document_has_all_that_cargo_tree_shows() {
        let workspace = Workspace::find().unwrap();
        for (program, target, document) in documents() {
            let own = &document["metadata"]["component"];
            let listed: BTreeSet<_> = components(&document).iter().chain([own]).map(named).collect();
            let mut tree = workspace.cargo();
            tree.args(["tree", "--locked", "--package", program, "--target", &target, "--no-dedupe"]);
            tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
            let text = capture(&mut tree).unwrap();
            let shown: BTreeSet<_> = text.lines().filter_map(|line| line.split_once(" v")).collect();
            assert!(shown.len() > 20, "{text}");
            for (name, rest) in shown {
                let version = rest.split(' ').next().unwrap();
                assert!(listed.contains(&(name, version)), "{program} lacks {name} {version}");
            }
        }
    }

    fn named(component: &Value) -> (&str, &str) {
        (component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
    }

    /// Whether a document holds against the schema of the standard, and why not.
    fn validate(python: &OsStr, document: &Value) -> Result<(), String> {
        let mut script = Command::new(python)
            .arg(Workspace::find().unwrap().path("tests/deploy/sbom.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        script.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stdout).unwrap()) }
    }

    #[test]
    fn every_document_is_valid_by_the_schema_of_the_standard() {
        let Some(python) = std::env::var_os("LINKGATE_PYTHON") else {
            println!(
                "not run: LINKGATE_PYTHON is not set; `cargo xtask test` sets it where Python's packages can be had"
            );
            return;
        };
        let mut documents = documents();
        for (program, _, document) in &documents {
            assert_eq!(validate(&python, document), Ok(()), "{program}");
        }
        let (_, _, wrong) = documents.last_mut().unwrap();
        wrong["components"][0]["licence"] = "MIT".into();
        let fault = validate(&python, wrong).unwrap_err();
        assert!(fault.contains("'licence' was unexpected"), "{fault}");
    }

    #[test]
    fn a_crate_that_is_not_ours_is_refused() {
        let metadata = serde_json::from_value(json!({"packages": [], "resolve": {"nodes": []}})).unwrap();
        assert!(build_bom(&metadata, &BTreeMap::new(), "ours").is_err());
    }
}
