//! The licences of what is in the programs: of each crate that is linked, with the texts that lie in it.
//!
//! Promises: every crate of every list of crates is named with its licence; a text that several have stands once. Texts of C
//! sources that lie in a crate are among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::{Outcome, Trying};
use crate::images::sbom::LinkedCrate;

/// How files with a licence begin, in capital letters.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT"];
/// Sources in C lie that deep in their crates at the most.
const DEPTH: usize = 3;
/// No text of a licence comes near it; a program that is called so does.
const MAX_BYTES: u64 = 200_000;
const HEAD: &str = "What is linked into the programs and the filter of Linkgate, beside Linkgate itself (see LICENSE) and the \
                    standard library of Rust (MIT OR Apache-2.0).\n";

/// One text of all of them.
pub fn write_licences(crates: &BTreeSet<LinkedCrate>) -> Outcome<String> {
    let mut text = HEAD.to_owned();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for linked in crates.iter().filter(|linked| linked.is_of_others) {
        let name = format!("{} {}", linked.name, linked.version);
        let licence = linked.license.as_deref().unwrap_or("see the text below");
        // Nothing can go wrong in writing to a text.
        let _ = writeln!(text, "- {name}: {licence}");
        let mut found = Vec::new();
        collect_texts(&linked.folder, DEPTH, &mut found)?;
        for licence in found {
            texts.entry(licence).or_default().insert(name.clone());
        }
    }
    for (licence, names) in &texts {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let _ = write!(text, "\n{}\n{}\n\n{}\n", "=".repeat(80), names.join(", "), licence);
    }
    Ok(text)
}

fn collect_texts(folder: &Path, depth: usize, found: &mut Vec<String>) -> Outcome<()> {
    let reading = || format!("read {}", folder.display());
    for entry in fs::read_dir(folder).trying(reading)? {
        let entry = entry.trying(reading)?;
        let (path, kind) = (entry.path(), entry.file_type().trying(reading)?);
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_licence = NAMES.iter().any(|begin| name.starts_with(begin)) && !name.ends_with(".RS");
        let is_small = entry.metadata().is_ok_and(|metadata| metadata.len() <= MAX_BYTES);
        if kind.is_dir() && depth > 0 {
            collect_texts(&path, depth - 1, found)?;
        } else if kind.is_file() && is_licence && is_small {
            let bytes = fs::read(&path).trying(|| format!("read {}", path.display()))?;
            found.push(String::from_utf8_lossy(&bytes).replace("\r\n", "\n").trim().to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_is_named_and_a_text_that_several_have_stands_once() {
        let folder = tempfile::tempdir().unwrap();
        let linked = |name: &str, files: &[(&str, &str)]| {
            let folder = folder.path().join(name);
            fs::create_dir_all(folder.join("sub")).unwrap();
            files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
            let name = name.to_owned();
            LinkedCrate { name, version: "1.0.0".into(), license: Some("MIT".into()), folder, is_of_others: true }
        };
        let crates = BTreeSet::from([
            linked("a", &[("LICENSE-MIT", "same text"), ("license.rs", "code")]),
            linked("b", &[("LICENSE", "same text\n"), ("sub/COPYING", "of the C sources")]),
            linked("c", &[]),
        ]);
        let text = write_licences(&crates).unwrap();
        for line in ["- a 1.0.0: MIT\n", "- c 1.0.0: MIT\n", "\nb 1.0.0\n\nof the C sources\n"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("code"), "{text}");
        assert!(text.contains("\na 1.0.0, b 1.0.0\n\nsame text\n") && text.matches("same text").count() == 1, "{text}");
    }
}
