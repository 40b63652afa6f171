//! `linkgate policy deploy` and `rollback`: hand a policy to a running Envoy.
//!
//! Promises: a policy that the gate would not take is not written; Envoy sees the old file or the new one; what was
//! replaced can be put back. The folder is the one that Envoy watches by `config_discovery` with `watched_directory`,
//! where a rename of any file makes it read the resource again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf, absolute};

use crate::args::{ManifestArgs, ManifestFormat, Target};
use crate::error::Error;
use crate::files::{AtomicFile, Existing, read_text_up_to};
use crate::manifest::format_manifest;
use crate::policy;
use crate::resource::{MAX_RESOURCE_BYTES, Resource};
use crate::rollout::Rollout;

/// The file that Envoy reads.
pub const RESOURCE: &str = "linkgate.ecds.json";
/// What it held before.
pub const PREVIOUS: &str = "linkgate.ecds.previous.json";
/// The filter beside it.
const WASM: &str = "linkgate_filter.wasm";

/// Checks the policy and writes the resource; returns what to print.
pub fn deploy_policy(file: &Path, wasm: Option<&Path>, target: &Target) -> Result<String, Error> {
    let checked = policy::check_policy(file)?;
    let folder = check_folder(target)?;
    let wasm = find_wasm(folder, wasm)?;
    let resource = Resource::new(checked.policy.version(), &checked.to_json(), &wasm);
    put_in_force(&resource, target, &checked.format_summary())
}

/// Checks the policy and returns a resource of Kubernetes with it. The filter lies on another machine, so it must be named.
pub fn print_manifest(
    file: &Path,
    wasm: Option<&Path>,
    arguments: &ManifestArgs,
    format: ManifestFormat,
) -> Result<String, Error> {
    let checked = policy::check_policy(file)?;
    let wasm = wasm.unwrap_or(Path::new(WASM));
    let wasm = wasm.to_str().ok_or_else(|| Error::PathNotText(wasm.to_owned()))?;
    let resource = Resource::new(checked.policy.version(), &checked.to_json(), wasm);
    format_manifest(&resource, arguments, format)
}

/// Puts back what was replaced last; returns what to print.
pub fn roll_back(target: &Target) -> Result<String, Error> {
    let path = check_folder(target)?.join(PREVIOUS);
    if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Err(Error::NoPrevious(path));
    }
    let text = read_text_up_to(&path, MAX_RESOURCE_BYTES)?;
    let resource = Resource::parse(text).ok_or(Error::NotResource(path))?;
    put_in_force(&resource, target, "")
}

fn check_folder(target: &Target) -> Result<&Path, Error> {
    let folder = target.to.as_path();
    if folder.is_dir() { Ok(folder) } else { Err(Error::NoFolder(folder.to_owned())) }
}

fn put_in_force(resource: &Resource, target: &Target, report: &str) -> Result<String, Error> {
    let rollout = target.wait.map(|wait| Rollout::begin(&target.admin, resource, wait)).transpose()?;
    write_resource(&target.to, resource)?;
    let path = target.to.join(RESOURCE);
    let report = format!("{report}{}: version {}\n", path.display(), resource.version());
    match rollout {
        None => Ok(report),
        Some(rollout) => Ok(report + &rollout.wait(&target.to, &path)?),
    }
}

/// Writes the resource and saves the one before, unless it is the same.
fn write_resource(folder: &Path, resource: &Resource) -> Result<(), Error> {
    let (path, previous) = (folder.join(RESOURCE), folder.join(PREVIOUS));
    let file = AtomicFile::create(&path, resource.text.as_bytes(), 0o640)?.share_with_group_of_folder();
    let is_other = |text: &[u8]| text != resource.text.as_bytes();
    match fs::read(&path) {
        Ok(before) if is_other(&before) => save_previous(&path, &previous)?,
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(Error::file("read", &path, source)),
    }
    file.commit(Existing::Replace)
}

/// Gives a file a second name. Not by a rename: Envoy would notice it, and judge the resource of now once more.
fn save_previous(path: &Path, previous: &Path) -> Result<(), Error> {
    match fs::remove_file(previous) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::file("replace", previous, error)),
        _ => {}
    }
    // Not every file system has second names.
    let saved = fs::hard_link(path, previous).or_else(|_| fs::copy(path, previous).map(drop));
    saved.map_err(|source| Error::file("write", previous, source))
}

/// The filter's path as text. One that was named may lie on another machine; the default one must be there.
fn find_wasm(folder: &Path, named: Option<&Path>) -> Result<String, Error> {
    let path = named.map_or_else(|| folder.join(WASM), PathBuf::from);
    let path = absolute(&path).map_err(|source| Error::file("find", &path, source))?;
    if named.is_none() && !path.is_file() {
        return Err(Error::NoWasm(path));
    }
    path.to_str().map(str::to_owned).ok_or_else(|| Error::PathNotText(path.clone()))
}
