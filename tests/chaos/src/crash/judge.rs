//! Holds what a store left against what was acknowledged. Uses none of the store's code: it reads rows and files itself.
//!
//! Promises: names everything that is wrong, and changes nothing on disk. What was in doubt is settled by what is found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::caller::{Caller, Doubt, Key, Live};
use super::packages::{Package, Packages};
use linkgate_tests::{DataDirectory, Row};

/// What a look at a data directory came to.
#[derive(Debug, Default)]
pub struct Look {
    /// What is wrong.
    pub wrong: Vec<String>,
    /// Rows that were held against what was acknowledged.
    pub rows: u64,
    /// Packages whose bytes were hashed.
    pub packages: u64,
    /// Deeds that nobody had answered and that are done, all of them.
    pub found_done: u64,
    /// Those of which nothing is there.
    pub found_undone: u64,
}

/// Looks after a restart: every acknowledged package is there and whole, and nothing is half there.
pub async fn after_restart(directory: &DataDirectory, callers: &mut [Caller], packages: &Packages) -> Look {
    let mut look = Look::default();
    let files = look.files(directory);
    let left = directory.temp_files();
    if !left.is_empty() {
        look.wrong.push(format!("temporary files outlive a restart: {left:?}"));
    }
    let Some((rows, modules)) = look.read_catalog(directory).await else { return look };
    look.compare(&rows, &modules, &files, callers, packages);
    look
}

/// Looks after clearing up: packages are those that rows need, deleted or not, no more and no fewer.
pub async fn after_clearing(directory: &DataDirectory) -> Look {
    let mut look = Look::default();
    let kept: BTreeSet<String> = look.files(directory).into_keys().collect();
    let Some((rows, _)) = look.read_catalog(directory).await else { return look };
    let recorded: BTreeSet<String> = rows.into_iter().filter(|row| !row.is_purged).map(|row| row.sha256).collect();
    look.wrong
        .extend(kept.difference(&recorded).map(|sha256| format!("{sha256} is in no row and outlives clearing up")));
    look.wrong.extend(recorded.difference(&kept).map(|sha256| format!("{sha256} is in the catalog and missing")));
    let left = directory.temp_files();
    if !left.is_empty() {
        look.wrong.push(format!("temporary files outlive clearing up: {left:?}"));
    }
    look
}

impl Look {
    /// Holds rows, registered modules (`app/module/origin`) and stored bytes, by digest and length, against what was acknowledged.
    pub fn compare(
        &mut self,
        rows: &[Row],
        modules: &[String],
        files: &BTreeMap<String, u64>,
        callers: &mut [Caller],
        packages: &Packages,
    ) {
        for row in rows.iter().filter(|row| !row.is_purged) {
            self.row(row, files, packages);
        }
        for caller in callers.iter_mut() {
            self.caller(caller, rows);
        }
        self.strangers(rows, modules, callers);
    }

    /// Everything under `blobs/`, by name; each must hold what its name says.
    fn files(&mut self, directory: &DataDirectory) -> BTreeMap<String, u64> {
        let mut files = BTreeMap::new();
        for path in below(&directory.path().join("blobs")) {
            match hashed(&path) {
                Ok((name, size)) => {
                    files.insert(name, size);
                }
                Err(fault) => self.wrong.push(format!("{}: {fault}", path.display())),
            }
            self.packages += 1;
        }
        if directory.path().join("quarantine").exists() {
            self.wrong.push("a package was moved to quarantine".to_owned());
        }
        files
    }

    async fn read_catalog(&mut self, directory: &DataDirectory) -> Option<(Vec<Row>, Vec<String>)> {
        match (directory.try_rows().await, directory.try_modules().await) {
            (Ok(rows), Ok(modules)) => Some((rows, modules)),
            (Err(error), _) | (_, Err(error)) => {
                self.wrong.push(format!("the catalog cannot be read: {error}"));
                None
            }
        }
    }

    /// A row is whole, and its package is there.
    fn row(&mut self, row: &Row, files: &BTreeMap<String, u64>, packages: &Packages) {
        self.rows += 1;
        let Some(package) = packages.of_digest(&row.sha256) else {
            self.wrong.push(format!("a row points at something that nobody served: {row:?}"));
            return;
        };
        if !is_of(row, package) {
            self.wrong.push(format!("a row is a mixture: {row:?} and {package:?}"));
        }
        match files.get(&row.sha256) {
            Some(size) if *size == package.size => {}
            Some(size) => self.wrong.push(format!("{} has {size} bytes: {row:?}", row.sha256)),
            None => self.wrong.push(format!("a row has no package: {row:?}")),
        }
    }

    /// Everything that a caller heard holds; what it did not hear holds wholly or not at all.
    fn caller(&mut self, caller: &mut Caller, rows: &[Row]) {
        let found: BTreeMap<Key, Live> = live_rows(rows, &caller.app).collect();
        let doubt = caller.doubt.take();
        let keys: BTreeSet<&Key> = found.keys().chain(caller.live.keys()).collect();
        for key in keys {
            let (before, now) = (caller.live.get(key), found.get(key));
            match doubt.as_ref().filter(|(of, _)| of == key) {
                None if before == now => {}
                None => self.wrong.push(fault(caller, key, before, now)),
                Some((_, doubt)) => match settle(doubt, before, now) {
                    Some(true) => self.found_done += 1,
                    Some(false) => self.found_undone += 1,
                    None => self.wrong.push(format!("{} ({doubt:?})", fault(caller, key, before, now))),
                },
            }
        }
        if let Some((key, doubt)) = &doubt
            && !found.contains_key(key)
            && !caller.live.contains_key(key)
        {
            match doubt {
                Doubt::Promised(_) => self.wrong.push(format!("{key:?} of {} was promised and never came", caller.app)),
                Doubt::Upload(_) | Doubt::Delete | Doubt::Restore(_) => self.found_undone += 1,
            }
        }
        if let Some((key, Doubt::Restore(id))) = &doubt
            && found.get(key).is_some_and(|live| live.id == *id)
        {
            caller.restorable.remove(id);
            caller.deleted.remove(id);
        }
        let gone = rows.iter().filter(|row| row.is_deleted).map(|row| row.id).collect::<BTreeSet<_>>();
        self.wrong.extend(caller.deleted.difference(&gone).map(|id| format!("row {id} was deleted and is back")));
        caller.live = found;
        caller.deleted.extend(rows.iter().filter(|row| row.is_deleted && row.app_code == caller.app).map(|row| row.id));
    }

    /// Nothing is there that nobody asked for.
    fn strangers(&mut self, rows: &[Row], modules: &[String], callers: &[Caller]) {
        let known = |row: &&Row| !callers.iter().any(|caller| caller.app == row.app_code);
        self.wrong.extend(rows.iter().filter(known).map(|row| format!("nobody asked for {row:?}")));
        // Both are written in one transaction, and rows are never removed.
        let (recorded, used): (BTreeSet<&str>, BTreeSet<String>) = (
            modules.iter().filter_map(|module| module.rsplit_once('/').map(|(name, _)| name)).collect(),
            rows.iter().map(|row| format!("{}/{}", row.app_code, row.module)).collect(),
        );
        let without = used.iter().filter(|module| !recorded.contains(module.as_str()));
        self.wrong.extend(without.map(|module| format!("{module} has packages and is not registered")));
        let without = recorded.iter().filter(|module| !used.contains(**module));
        self.wrong.extend(without.map(|module| format!("{module} is registered and has no package")));
    }
}

/// Whether what was in doubt was done; `None` if something else was.
fn settle(doubt: &Doubt, before: Option<&Live>, now: Option<&Live>) -> Option<bool> {
    let done = match (doubt, before, now) {
        (Doubt::Delete, _, None) => true,
        (Doubt::Restore(id), None, Some(now)) => now.id == *id,
        (Doubt::Upload(wanted) | Doubt::Promised(wanted), Some(before), Some(now)) => {
            now.sha256 == *wanted && now.id == before.id
        }
        (Doubt::Upload(wanted) | Doubt::Promised(wanted), None, Some(now)) => now.sha256 == *wanted,
        _ => false,
    };
    let may_be_undone = before == now && !matches!(doubt, Doubt::Promised(_));
    if done { Some(true) } else { may_be_undone.then_some(false) }
}

fn fault(caller: &Caller, key: &Key, before: Option<&Live>, now: Option<&Live>) -> String {
    format!("{key:?} of {}: acknowledged was {before:?}, found is {now:?}", caller.app)
}

fn live_rows<'a>(rows: &'a [Row], app: &'a str) -> impl Iterator<Item = (Key, Live)> + use<'a> {
    rows.iter().filter(move |row| row.app_code == app && !row.is_deleted).map(|row| {
        let key = Key { module: row.module.clone(), version: row.version.clone() };
        (key, Live { id: row.id, sha256: row.sha256.clone() })
    })
}

fn is_of(row: &Row, package: &Package) -> bool {
    let names = [package.display_name(&row.version), package.file_name()];
    u64::try_from(row.size_bytes).ok() == Some(package.size) && names.contains(&row.package_name)
}

/// Its name and length, if it lies where it belongs and holds what its name says.
fn hashed(path: &Path) -> Result<(String, u64), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    if name.get(..2) != Some(&folder) {
        return Err("lies where no package belongs".to_owned());
    }
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let found = linkgate_tests::sha256_hex(&bytes);
    if found == name { Ok((name, bytes.len() as u64)) } else { Err(format!("holds {found}, {} bytes", bytes.len())) }
}

/// All files; also those that lie where none belongs.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}
