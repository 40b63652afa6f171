//! The filter as a registry of images has it, in both forms that hosts of proxy-wasm fetch: `compat`, an image with one layer
//! that holds `plugin.wasm`, and the artifact of the CNCF, whose layer is the module itself.
//!
//! Promises: a layout of OCI 1.0 in one archive, which `skopeo copy oci-archive:FILE:TAG docker://…` and `oras cp` push; the
//! same filter gives the same bytes.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tree::{PLAIN, Tree};
use crate::error::{Outcome, Trying};
use crate::release::Release;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM_LAYER: &str = "application/wasm";
/// What Istio looks for in an image.
const PLUGIN: &str = "plugin.wasm";

/// The layout as an archive.
pub fn pack_filter(wasm: &[u8], release: &Release) -> Outcome<Vec<u8>> {
    let mut layout = Layout { release, tree: Tree::default(), manifests: Vec::new() };
    layout.add_compat(wasm)?;
    layout.add_artifact(wasm)?;
    layout.finish()
}

struct Layout<'a> {
    release: &'a Release,
    tree: Tree,
    manifests: Vec<Value>,
}

impl Layout<'_> {
    fn add_compat(&mut self, wasm: &[u8]) -> Outcome<()> {
        let mut files = Tree::default();
        files.add(PLUGIN, PLAIN, wasm)?;
        let archive = files.archive("", self.release.epoch)?;
        let layer = self.add_blob(IMAGE_LAYER, &files.pack("", self.release.epoch)?)?;
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&archive)]},
        });
        let config = self.add_blob(IMAGE_CONFIG, config.to_string().as_bytes())?;
        let mut manifest = self.manifest(config, layer);
        manifest["annotations"]["module.wasm.image/variant"] = "compat".into();
        self.add_manifest(&manifest, "compat")
    }

    fn add_artifact(&mut self, wasm: &[u8]) -> Outcome<()> {
        let layer = self.add_blob(WASM_LAYER, wasm)?;
        let config = json!({
            "created": format!("{}T00:00:00Z", self.release.date()),
            "architecture": "wasm",
            "os": "wasip1",
            "layerDigests": [digest(wasm)],
        });
        let config = self.add_blob(WASM_CONFIG, config.to_string().as_bytes())?;
        let manifest = self.manifest(config, layer);
        self.add_manifest(&manifest, "wasm")
    }

    fn manifest(&self, config: Value, layer: Value) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [layer],
            "annotations": {
                "org.opencontainers.image.title": "linkgate-filter",
                "org.opencontainers.image.description": "The gate of Linkgate, a proxy-wasm filter",
                "org.opencontainers.image.licenses": "MIT",
                "org.opencontainers.image.version": self.release.version,
                "org.opencontainers.image.revision": self.release.commit,
            },
        })
    }

    fn add_manifest(&mut self, manifest: &Value, form: &str) -> Outcome<()> {
        let mut entry = self.add_blob(MANIFEST, manifest.to_string().as_bytes())?;
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": format!("{}-{form}", self.release.version)});
        self.manifests.push(entry);
        Ok(())
    }

    /// Adds a blob, and gives what points at it.
    fn add_blob(&mut self, media_type: &str, bytes: &[u8]) -> Outcome<Value> {
        let digest = digest(bytes);
        self.tree.add(format!("blobs/{}", digest.replace(':', "/")), PLAIN, bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }

    fn finish(mut self) -> Outcome<Vec<u8>> {
        self.tree.add("oci-layout", PLAIN, json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": self.manifests});
        let index = serde_json::to_vec(&index).trying(|| "write the index of the filter's forms".to_owned())?;
        self.tree.add("index.json", PLAIN, index)?;
        self.tree.archive("", self.release.epoch)
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn release() -> Release {
        Release { version: "1.2.3".into(), commit: "abc".into(), epoch: 86_400 }
    }

    fn unpack(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let (mut entry, mut bytes) = (entry.unwrap(), Vec::new());
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn both_forms_are_whole_and_what_points_at_a_blob_is_right() {
        let files = unpack(&pack_filter(b"\0asm", &release()).unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let blob = |entry: &Value| {
            let bytes = &files[&format!("blobs/{}", entry["digest"].as_str().unwrap().replace(':', "/"))];
            assert_eq!(
                (entry["size"].as_u64().unwrap(), digest(bytes)),
                (bytes.len() as u64, entry["digest"].as_str().unwrap().to_owned())
            );
            bytes.clone()
        };
        let manifests: Vec<Value> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| serde_json::from_slice(&blob(entry)).unwrap())
            .collect();
        let [compat, artifact] = manifests.as_slice() else { panic!("{index}") };
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(blob(&compat["layers"][0]).as_slice()).read_to_end(&mut layer).unwrap();
        assert_eq!(unpack(&layer), BTreeMap::from([(PLUGIN.to_owned(), b"\0asm".to_vec())]));
        let config: Value = serde_json::from_slice(&blob(&compat["config"])).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest(&layer)]));
        assert_eq!(blob(&artifact["layers"][0]), b"\0asm");
        let config: Value = serde_json::from_slice(&blob(&artifact["config"])).unwrap();
        assert_eq!((&config["os"], &config["layerDigests"]), (&json!("wasip1"), &json!([digest(b"\0asm")])));
        assert_eq!(artifact["config"]["mediaType"], WASM_CONFIG);
        assert_eq!(index["manifests"][1]["annotations"]["org.opencontainers.image.ref.name"], "1.2.3-wasm");
    }

    #[test]
    fn the_same_filter_gives_the_same_bytes() {
        assert_eq!(pack_filter(b"\0asm", &release()).unwrap(), pack_filter(b"\0asm", &release()).unwrap());
    }
}
