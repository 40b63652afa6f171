//! `cargo xtask images`: the images of the `Dockerfile`, of programs that are built on this machine.
//!
//! Promises: no base image is needed but Envoy's for the gateway, and where that cannot be had a stand-in is made of the
//! pinned Envoy and this machine's C library. The programs are static, and the same sources give the same bytes in any
//! folder. Fails if the store's image is over its budget.

pub mod files;
pub mod sbom;
mod stage;
pub mod stand_in;

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::release::Release;
use crate::run::capture;
use crate::workspace::Workspace;
use files::remove_folder;
pub use stage::{PACKAGE, Programs};

/// What is built, in the order of the `Dockerfile`.
pub const IMAGES: [&str; 5] = ["filter", "store", "cli", "sample", "gateway"];
/// Every node that runs a store pulls it. The clients of PostgreSQL and S3 are in it, whichever engines a store uses.
const STORE_BUDGET_BYTES: u64 = 32_000_000;
/// From here on the `Dockerfile` holds for both ways of building.
const STAGE_ENDS: &str = "\nFROM scratch AS labels\n";
const FROM_STAGE: &str = "--from=build ";

/// Flags of `images`.
#[derive(Args)]
pub struct Options {
    /// Only lay out the files that go into the images, in this folder, which must be empty; needs no engine
    #[arg(long, value_name = "DIR")]
    pub stage: Option<PathBuf>,
    /// Build the programs to be tried out: in half the time, and slower
    #[arg(long)]
    pub quick: bool,
    /// What the images are tagged with [default: the version]
    #[arg(long)]
    pub tag: Option<String>,
}

/// Builds the images.
pub fn images(workspace: &Workspace, options: &Options) -> Outcome<()> {
    if let Some(folder) = &options.stage {
        let programs = Programs::build(workspace, options.quick)?;
        return stage::lay_out_images(workspace, &programs, folder);
    }
    let Some(docker) = Docker::running() else {
        return Err(Failure::missing(
            "no container engine answers: start Docker, or let `cargo xtask compose --check` start one of its own",
        ));
    };
    let programs = Programs::build(workspace, options.quick)?;
    let tag = options.tag.clone().unwrap_or_else(|| own_version(workspace).to_owned());
    build_images(workspace, &docker, &programs, &[&tag])
}

/// The version of all that is ours.
pub fn own_version(workspace: &Workspace) -> &str {
    workspace.packages.first().map_or("unknown", |package| &package.version)
}

/// Makes every image with each of these tags.
pub fn build_images(workspace: &Workspace, docker: &Docker, programs: &Programs, tags: &[&str]) -> Outcome<()> {
    let context = workspace.target.join("images");
    remove_folder(&staging_folder(workspace))?;
    stage::lay_out_images(workspace, programs, &staging_folder(workspace))?;
    let dockerfile = fs::read_to_string(workspace.path("Dockerfile")).trying(|| "read Dockerfile".to_owned())?;
    let derived = derive_dockerfile(&dockerfile)?;
    fs::write(context.join("Dockerfile"), derived).trying(|| format!("write {}", context.display()))?;
    stand_in::provide_envoy(workspace, docker)?;
    let release = Release::find(workspace)?;
    for tag in tags {
        for image in IMAGES {
            docker.build(
                &context,
                Some(image),
                &image_name(image, tag),
                &[("VERSION", tag), ("REVISION", &release.commit), ("DATE", &release.date())],
            )?;
        }
    }
    let tag = tags.first().copied().unwrap_or_default();
    IMAGES.iter().try_for_each(|image| check_size(docker, image, &image_name(image, tag)))
}

/// Prints an image's size and holds it against the budget.
fn check_size(docker: &Docker, image: &str, name: &str) -> Outcome<()> {
    let text = capture(&mut docker.command(["image", "inspect", "--format", "{{.Size}}", name]))?;
    let bytes: u64 = text.trim().parse().trying(|| format!("read the size of {name}"))?;
    println!("{name}: {bytes} bytes");
    check_budget(image, bytes)
}

fn check_budget(image: &str, bytes: u64) -> Outcome<()> {
    if image != "store" || bytes <= STORE_BUDGET_BYTES {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the store's image has {bytes} bytes, the budget is {STORE_BUDGET_BYTES}: find what made it grow"
    )))
}

/// Removes the images with these tags, and a stand-in.
pub fn remove_images(docker: &Docker, tags: &[&str]) {
    for tag in tags {
        let names = IMAGES.map(|image| image_name(image, tag));
        docker.succeeds(["image", "rm", "--force"].into_iter().chain(names.iter().map(String::as_str)));
    }
    stand_in::remove_stand_in(docker);
}

/// Where what goes into the images was laid out last.
pub fn staging_folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("images").join("stage")
}

/// The name of an image.
pub fn image_name(image: &str, tag: &str) -> String {
    format!("linkgate-{image}:{tag}")
}

/// The `Dockerfile` without the stage that builds: what that would leave in `/stage` comes from the folder beside it.
fn derive_dockerfile(dockerfile: &str) -> Outcome<String> {
    let parts = dockerfile.split_once("\nFROM ").zip(dockerfile.split_once(STAGE_ENDS));
    let Some(((head, _), (_, rest))) = parts.filter(|_| dockerfile.contains(FROM_STAGE)) else {
        return Err(Failure::new(
            "the Dockerfile must have a stage that builds, and `FROM scratch AS labels` after it",
        ));
    };
    Ok(format!("{head}{STAGE_ENDS}{}", rest.replace(FROM_STAGE, "").replace(" /stage/", " stage/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_at_root(file: &str) -> String {
        fs::read_to_string(crate::workspace::root_of_tests().join(file)).unwrap()
    }

    #[test]
    fn every_crate_goes_to_the_engine() {
        let manifest = read_at_root("Cargo.toml");
        let (_, members) = manifest.split_once("\nmembers = ").unwrap();
        // A list of strings is the same in TOML and in JSON.
        let members: Vec<String> = serde_json::from_str(members.lines().next().unwrap()).unwrap();
        let ignored = read_at_root(".dockerignore");
        let sent: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
        for member in members {
            let folder = member.split('/').next().unwrap();
            assert!(sent.contains(&folder), ".dockerignore hides `{folder}` from the engine, so nothing builds there");
        }
    }

    #[test]
    fn what_is_built_here_needs_no_base_but_envoy() {
        let derived = derive_dockerfile(&read_at_root("Dockerfile")).unwrap();
        let bases: Vec<_> = derived.lines().filter(|line| line.starts_with("FROM ")).collect();
        let (gateway, others) = bases.split_last().unwrap();
        assert_eq!(*gateway, "FROM ${ENVOY} AS gateway");
        let (labels, others) = others.split_first().unwrap();
        assert_eq!(*labels, "FROM scratch AS labels");
        assert!(others.iter().all(|line| line.starts_with("FROM labels AS ")), "{others:?}");
        assert_eq!(others.len() + 1, IMAGES.len());
        assert!(derived.contains("ARG ENVOY=envoyproxy/envoy:v"));
        assert!(!derived.contains("/stage/store/ /") || derived.contains("COPY stage/store/ /"));
        assert!(!derived.contains("--from="), "{derived}");
    }

    #[test]
    fn every_image_has_labels_and_no_user_of_its_own_rights() {
        let text = read_at_root("Dockerfile");
        let stage_of = |image: &str| {
            let (_, stage) = text.split_once(&format!(" AS {image}\n")).unwrap();
            stage.split("\nFROM ").next().unwrap()
        };
        for image in IMAGES {
            let stage = stage_of(image);
            let inherits = text.contains(&format!("\nFROM labels AS {image}\n"));
            let labels = [if inherits { stage_of("labels") } else { "" }, stage].concat();
            for label in ["title", "description", "licenses", "version", "revision", "created"] {
                assert!(labels.contains(&format!("org.opencontainers.image.{label}=")), "{image}: {label}");
            }
            assert!(image == "filter" || stage.contains("USER 65532:65532"), "{image}");
            assert!(!stage.contains("RUN "), "{image}: there is no shell to run anything");
        }
    }

    #[test]
    fn a_store_over_its_budget_is_refused() {
        assert!(check_budget("store", STORE_BUDGET_BYTES).is_ok());
        assert!(check_budget("store", STORE_BUDGET_BYTES + 1).unwrap_err().to_string().contains("32000001 bytes"));
        assert!(check_budget("gateway", STORE_BUDGET_BYTES + 1).is_ok());
    }

    #[test]
    fn a_dockerfile_of_another_shape_is_refused() {
        assert!(derive_dockerfile("FROM scratch\n").is_err());
    }
}
