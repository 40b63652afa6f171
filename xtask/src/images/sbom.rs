//! What a program is made of, as a CycloneDX 1.5 document: asked of cargo, so it is what was built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Failure, Outcome, Trying};
use crate::run::capture;
use crate::workspace::Workspace;

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
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Writes the document of one of our crates.
pub fn write(workspace: &Workspace, crate_name: &str, to: &Path) -> Outcome<()> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut command = workspace.cargo();
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", &target]);
    let text = capture(&mut command)?;
    let metadata = serde_json::from_str(&text).trying(|| "read what `cargo metadata` printed".to_owned())?;
    let lock = fs::read_to_string(workspace.path("Cargo.lock")).trying(|| "read Cargo.lock".to_owned())?;
    let document = document(&metadata, &checksums(&lock), crate_name)?;
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(to, format!("{document:#}\n")))
        .trying(|| format!("write {}", to.display()))
}

fn document(metadata: &Metadata, checksums: &BTreeMap<(String, String), String>, crate_name: &str) -> Outcome<Value> {
    let packages: BTreeMap<_, _> = metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let root = metadata.packages.iter().find(|package| package.name == crate_name && package.source.is_none());
    let root = root.ok_or_else(|| Failure::new(format!("`cargo metadata` does not know {crate_name}")))?;
    let linked = linked(metadata, &root.id);
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (id, on) in &linked {
        let package =
            packages.get(id).ok_or_else(|| Failure::new(format!("`cargo metadata` does not explain {id}")))?;
        let on: Vec<_> = on.iter().filter_map(|id| Some(reference(packages.get(id)?))).collect();
        dependencies.push(json!({"ref": reference(package), "dependsOn": on}));
        if package.id != root.id {
            components.push(component(package, checksums));
        }
    }
    let ours = json!({"type": "application", "bom-ref": reference(root), "name": root.name, "version": root.version});
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": ours},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// What ends up in the program, each with what it uses: neither tests nor what only runs while it is built.
fn linked<'a>(metadata: &'a Metadata, root: &'a str) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
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

fn component(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
        "purl": reference(package),
    });
    if let Some(license) = &package.license {
        // Older manifests write a slash where an expression has `OR`.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ").replace("  ", " ")}]);
    }
    if let Some(sha256) = checksums.get(&(package.name.clone(), package.version.clone())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
    }
    component
}

/// The digests of the crates, from the lock file.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|text| text.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks.filter_map(|b| Some(((value(b, "name")?, value(b, "version")?), value(b, "checksum")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let lock = "[[package]]\nname = \"used\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n";
        let metadata = serde_json::from_value(metadata).unwrap();
        let document = document(&metadata, &checksums(lock), "ours").unwrap();
        let names: Vec<_> = document["components"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["deep", "used"]);
        assert_eq!(document["components"][1]["hashes"][0]["content"], "ab");
        assert_eq!(document["components"][1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["metadata"]["component"]["bom-ref"], "pkg:cargo/ours@1.0.0");
        assert_eq!(document["dependencies"][2]["dependsOn"], json!(["pkg:cargo/deep@1.0.0"]));
    }

    #[test]
    fn a_crate_that_is_not_ours_is_refused() {
        let metadata = serde_json::from_value(json!({"packages": [], "resolve": {"nodes": []}})).unwrap();
        assert!(document(&metadata, &BTreeMap::new(), "ours").is_err());
    }
}
