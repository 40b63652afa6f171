//! What should come of it: a list of packages in memory.

use std::collections::{BTreeMap, BTreeSet};

use linkgate_store_core::settings::Usage;

use super::{CONTENTS, Death, KEPT};

/// A package, as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Modelled {
    pub(super) version: u8,
    pub(super) content: usize,
    pub(super) is_deleted: bool,
    pub(super) is_purged: bool,
    pub(super) pins: BTreeMap<u8, bool>,
    pub(super) revision: i64,
}

/// What should be there. The id of a package is its place in the list, counted from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) packages: Vec<Modelled>,
    pub(super) events: Vec<&'static str>,
    /// Bytes that dead stores left and nobody needed then.
    left: BTreeSet<usize>,
}

impl Model {
    fn live(&self, version: u8) -> Option<usize> {
        self.packages.iter().position(|package| package.version == version && !package.is_deleted)
    }

    fn change(&mut self, at: usize, event: &'static str, change: impl FnOnce(&mut Modelled)) {
        self.packages[at].revision += 1;
        change(&mut self.packages[at]);
        self.events.push(event);
    }

    /// Whether it is stored.
    pub(super) fn upload(&mut self, version: u8, content: usize, overwrites: bool) -> bool {
        match self.live(version) {
            Some(_) if !overwrites => return false,
            Some(at) if self.packages[at].pins.values().any(|protects| *protects) => return false,
            Some(at) => self.change(at, "overwrite", |package| package.content = content),
            None => {
                let pins = BTreeMap::new();
                let package = Modelled { version, content, is_deleted: false, is_purged: false, pins, revision: 1 };
                self.packages.push(package);
                self.events.push("upload");
            }
        }
        self.left = &self.left - &self.needed();
        true
    }

    /// An upload whose store dies leaves what it had come to.
    pub(super) fn die(&mut self, version: u8, content: usize, overwrites: bool, at: Death) {
        if at == Death::Written {
            return;
        }
        self.left.insert(content);
        if at == Death::Recorded {
            let before = self.needed();
            self.upload(version, content, overwrites);
            self.left.extend(before);
        }
        self.left = &self.left - &self.needed();
    }

    /// How much of what dead stores left is collected.
    pub(super) fn collect(&mut self) -> u64 {
        let left = &self.left - &self.needed();
        self.left.clear();
        left.len() as u64
    }

    /// What the change is answered with.
    pub(super) fn delete(&mut self, at: usize, force: bool) -> &'static str {
        match self.packages.get(at) {
            None => return "not_found",
            // Asked again, the store frees what a dead one did not.
            Some(package) if package.is_purged => {
                self.left.remove(&package.content);
            }
            Some(package) if package.is_deleted => {}
            Some(package) if !package.pins.is_empty() && !force => {
                self.events.push("delete_refused");
                return "in_use";
            }
            Some(_) => self.change(at, "delete", |package| package.is_deleted = true),
        }
        "done"
    }

    pub(super) fn restore(&mut self, at: usize, version: Option<u8>) -> &'static str {
        let Some(package) = self.packages.get(at) else { return "not_found" };
        let version = version.unwrap_or(package.version);
        match package {
            package if !package.is_deleted => {}
            package if package.is_purged => return "purged",
            _ if self.live(version).is_some() => return "version_taken",
            _ => self.change(at, "restore", |package| (package.is_deleted, package.version) = (false, version)),
        }
        "done"
    }

    pub(super) fn pin(&mut self, at: usize, name: u8, protects: bool) -> &'static str {
        match self.packages.get(at) {
            None => return "not_found",
            Some(package) if package.is_purged => return "purged",
            Some(package) if package.is_deleted => return "deleted",
            Some(package) if package.pins.get(&name) == Some(&protects) => {}
            Some(_) => self.change(at, "pin", |package| {
                package.pins.insert(name, protects);
            }),
        }
        "done"
    }

    pub(super) fn unpin(&mut self, at: usize, name: u8) -> &'static str {
        match self.packages.get(at) {
            Some(package) if package.pins.contains_key(&name) => {}
            _ => return "not_found",
        }
        self.change(at, "unpin", |package| {
            package.pins.remove(&name);
        });
        "done"
    }

    pub(super) fn purge(&mut self) {
        for at in 0..self.packages.len() {
            let package = &self.packages[at];
            if package.is_deleted && !package.is_purged && package.pins.is_empty() {
                self.change(at, "purge", |package| package.is_purged = true);
            }
        }
    }

    /// All but the newest go, unless they are pinned.
    pub(super) fn clean_up(&mut self) {
        let is_free = |package: &Modelled| !package.is_deleted && package.pins.is_empty();
        let free: Vec<_> = (0..self.packages.len()).rev().filter(|at| is_free(&self.packages[*at])).collect();
        for at in free.into_iter().skip(KEPT) {
            self.change(at, "cleanup", |package| package.is_deleted = true);
        }
    }

    fn needed(&self) -> BTreeSet<usize> {
        self.packages.iter().filter(|package| !package.is_purged).map(|package| package.content).collect()
    }

    /// Whose bytes are there.
    pub(super) fn stored(&self) -> BTreeSet<usize> {
        &self.needed() | &self.left
    }

    /// Those of the packages that are listed, the latest first.
    pub(super) fn live_ids(&self) -> Vec<i64> {
        let live = (1..).zip(&self.packages).filter(|(_, package)| !package.is_deleted).map(|(id, _)| id);
        live.collect::<Vec<_>>().into_iter().rev().collect()
    }

    pub(super) fn usage(&self) -> Usage {
        let kept = self.packages.iter().filter(|package| !package.is_purged);
        Usage {
            packages: self.packages.iter().filter(|package| !package.is_deleted).count() as u64,
            bytes: kept.map(|package| CONTENTS[package.content].len() as u64).sum(),
        }
    }
}
