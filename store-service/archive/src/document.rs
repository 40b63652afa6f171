//! The tables of docs/PACKAGES.md say what the code does.

use std::collections::BTreeMap;

use crate::format::{Format, LooksLike};
use crate::zip::Method;
use crate::zip_method;

const DOCUMENT: &str = include_str!("../../../docs/PACKAGES.md");

/// The rows of a table: its first column, and the rest.
fn rows(heading: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).skip(1)
}

/// `2–5 (Reduce), 6 (Implode)`, as numbers and names.
fn methods_in(text: &'static str) -> Vec<(u16, &'static str)> {
    let mut methods = Vec::new();
    for part in text.split("), ") {
        let (numbers, name) = part.split_once(" (").unwrap();
        let mut numbers = numbers.split('–').map(|number| number.parse::<u16>().unwrap());
        let first = numbers.next().unwrap();
        let last = numbers.next().unwrap_or(first);
        methods.extend((first..=last).map(|number| (number, name.split(')').next().unwrap())));
    }
    methods
}

#[test]
fn each_method_of_zip_stands_in_the_table_as_it_is_judged() {
    let mut documented = BTreeMap::new();
    for (what, rest) in rows("Zip") {
        let Some(methods) = what.strip_prefix("methods ") else { continue };
        for (number, name) in methods_in(methods) {
            assert!(documented.insert(number, (name, rest.starts_with("yes"))).is_none(), "{number} is there twice");
        }
    }
    for number in 0..=u16::MAX {
        let is_taken = Method::from_number(number).is_ok();
        let (name, is_said_taken) = documented.remove(&number).unwrap_or_default();
        assert_eq!(is_said_taken, is_taken, "method {number}");
        if !is_taken {
            assert_eq!(name, zip_method(number).map(|(name, _)| name).unwrap_or_default(), "method {number}");
        }
    }
}

#[test]
fn each_format_stands_in_the_table() {
    let formats: Vec<&str> = rows("Formats").map(|(format, _)| format).collect();
    let taken = [Format::Tar, Format::TarGz, Format::TarBz2, Format::TarXz, Format::TarZst, Format::Zip];
    assert_eq!(
        formats,
        [&taken.map(|format| format.to_string()).each_ref().map(String::as_str)[..], &["others"]].concat()
    );
    let (_, others) = rows("Formats").last().unwrap();
    for (looks, name) in [
        (LooksLike::Rar, "RAR"),
        (LooksLike::SevenZip, "7-Zip"),
        (LooksLike::Cpio, "cpio"),
        (LooksLike::Ar, "ar"),
        (LooksLike::Lzip, "lzip"),
        (LooksLike::Compress, "compress"),
        (LooksLike::Lz4, "LZ4"),
        (LooksLike::Cabinet, "cabinet"),
    ] {
        assert!(others.contains(name) && looks.to_string().contains(name), "{looks}: {others}");
    }
}
