//! `linkgate push`: links become jobs that are watched, files are sent, several of them at the same time.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, stream};
use linkgate_client::{Accepted, FileSource, FileUpload, LinkUpload};
use linkgate_contract::{FileName, PackageVersion, SourcePackage};
use secrecy::SecretString;

use super::args::Push;
use super::failure::{Failure, Kind};
use super::jobs::{how_to_go_on, print_job, watch};
use super::output::{bytes, safe};
use super::packages::describe_package;
use super::progress::Transfer;
use super::session::{Ongoing, Session};

/// Endings that are no part of a version.
const ARCHIVES: [&str; 12] =
    [".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar", ".zip", ".gz", ".zst"];

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Link(String),
    File(PathBuf),
    StandardInput,
}

impl Source {
    fn parse(text: &str) -> Self {
        if text == "-" {
            Self::StandardInput
        } else if text.starts_with("http://") || text.starts_with("https://") {
            Self::Link(text.to_owned())
        } else {
            Self::File(text.into())
        }
    }

    /// As messages name it: a link without its query, which may be signed.
    fn name(&self) -> String {
        match self {
            Self::Link(link) => {
                let path = link.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
                safe(path.rsplit('/').next().unwrap_or(path))
            }
            Self::File(path) => safe(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()),
            Self::StandardInput => "standard input".to_owned(),
        }
    }
}

/// `linkgate push`
pub async fn push(session: &Session, command: &Push) -> Result<(), Failure> {
    let sources: Vec<Source> = command.sources.iter().map(|source| Source::parse(source)).collect();
    refuse_nonsense(command, &sources)?;
    match &sources[..] {
        [Source::Link(link)] => push_link(session, command, link).await,
        [source] => push_file(session, command, source).await,
        _ => push_files(session, command, &sources).await,
    }
}

fn refuse_nonsense(command: &Push, sources: &[Source]) -> Result<(), Failure> {
    let has_link = sources.iter().any(|source| matches!(source, Source::Link(_)));
    let wrong = if sources.len() > 1 {
        if has_link || sources.contains(&Source::StandardInput) {
            Some("several packages are several files; push links and standard input one by one")
        } else if command.version.is_some() || command.sha256.is_some() || command.name.is_some() {
            Some("--version, --sha256 and --name are for one package; see --version-from-name")
        } else {
            None
        }
    } else if has_link && (command.name.is_some() || command.if_missing || command.version_from_name) {
        Some("--name, --if-missing and --version-from-name are for files, not for links")
    } else if !has_link && (command.no_wait || command.wait.wait_timeout.is_some()) {
        Some("--no-wait and --wait-timeout are for links: a file is sent by this command itself")
    } else {
        None
    };
    wrong.map_or(Ok(()), |wrong| Err(Failure::usage(wrong)))
}

async fn push_link(session: &Session, command: &Push, link: &str) -> Result<(), Failure> {
    let credential = std::env::var_os("LINKGATE_SOURCE_AUTHORIZATION").and_then(|value| value.into_string().ok());
    let upload = LinkUpload {
        version: command.version.clone(),
        allow_overwrite: command.overwrite,
        sha256: command.sha256,
        source_authorization: credential.filter(|value| !value.is_empty()).map(SecretString::from),
        ..LinkUpload::new(link)?
    };
    let package = match session.client.begin_upload(&session.module, &upload).await? {
        Accepted::Stored(package) => *package,
        Accepted::Job(job) if command.no_wait => {
            print_job(session, &job)?;
            session.progress.note(&how_to_go_on(job.job_id));
            return Ok(());
        }
        Accepted::Job(job) => {
            let transfer = session.progress.begin(&Source::Link(link.to_owned()).name(), None);
            transfer.note(&format!("job {}", job.job_id));
            watch(session, job.job_id, &command.wait, &transfer).await?
        }
    };
    session.output.print(&package, &describe_package(&package))
}

async fn push_file(session: &Session, command: &Push, source: &Source) -> Result<(), Failure> {
    let length = match source {
        Source::File(path) => std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|found| found.len()),
        _ => None,
    };
    let transfer = session.progress.begin(&source.name(), length);
    let shown = transfer.clone();
    let tell = Arc::new(move |sent| {
        shown.set_position(sent);
        if length == Some(sent) {
            shown.set_stage("storing");
        }
    });
    session.note(Ongoing::Sending);
    let outcome = send(session, command, source, tell).await;
    session.note(Ongoing::Nothing);
    match outcome {
        Ok(package) => {
            transfer.finish("stored");
            session.output.print(&package, &describe_package(&package))
        }
        Err(failure) => {
            transfer.abandon();
            Err(failure)
        }
    }
}

async fn send(
    session: &Session,
    command: &Push,
    source: &Source,
    tell: Arc<dyn Fn(u64) + Send + Sync>,
) -> Result<SourcePackage, Failure> {
    let (file_name, bytes) = match source {
        Source::File(path) => (find_file_name(command, path)?, FileSource::Path(path.clone())),
        _ => {
            let name = command.name.clone().map_or_else(|| to_file_name("package"), Ok)?;
            (name, FileSource::reader(std::io::stdin()))
        }
    };
    let version = match &command.version {
        None if command.version_from_name => Some(version_of(&file_name)?),
        version => version.clone(),
    };
    let upload = FileUpload {
        version,
        allow_overwrite: command.overwrite,
        sha256: command.sha256,
        take_existing: command.if_missing,
        ..FileUpload::new(file_name)?
    };
    Ok(session.client.upload_file(&session.module, &upload, &bytes, Some(tell)).await?)
}

/// Sends files side by side; each that fails is told, and the others go on, unless what was in its way is in theirs as well.
async fn push_files(session: &Session, command: &Push, sources: &[Source]) -> Result<(), Failure> {
    let length = |source: &Source| match source {
        Source::File(path) => std::fs::metadata(path).map_or(0, |found| found.len()),
        _ => 0,
    };
    let (count, total) = (sources.len(), sources.iter().map(length).sum());
    let transfer = session.progress.begin(&format!("{count} files"), Some(total));
    session.note(Ongoing::Sending);
    let sum = Arc::new(AtomicU64::new(0));
    let sending = stream::iter(sources).map(|source| send_one(session, command, source, &sum, &transfer));
    let mut sending = pin!(sending.buffered(usize::from(command.parallel)));
    let (mut packages, mut first, mut is_in_all_their_ways) = (Vec::new(), None, false);
    while !is_in_all_their_ways && let Some(outcome) = sending.next().await {
        match outcome {
            Ok(package) => packages.push(package),
            Err(failure) => {
                is_in_all_their_ways = matches!(failure.kind, Kind::Unreachable | Kind::NotAllowed);
                first = first.or(Some(failure));
            }
        }
    }
    session.note(Ongoing::Nothing);
    let outcome = format!("stored: {} of {count}", packages.len());
    transfer.finish(&outcome);
    let rows: Vec<_> = packages.iter().map(to_row).collect();
    session.output.print_table(&packages, &["ID", "VERSION", "NAME", "SIZE", "SHA256"], &rows)?;
    first.map_or(Ok(()), Err)
}

async fn send_one(
    session: &Session,
    command: &Push,
    source: &Source,
    sum: &Arc<AtomicU64>,
    transfer: &Transfer,
) -> Result<SourcePackage, Failure> {
    let (all, shown, mine) = (Arc::clone(sum), transfer.clone(), AtomicU64::new(0));
    let tell = Arc::new(move |sent: u64| {
        // Another attempt begins at nothing; what was counted of the last one stays counted.
        let before = mine.fetch_max(sent, Ordering::Relaxed);
        let added = sent.saturating_sub(before);
        shown.set_position(all.fetch_add(added, Ordering::Relaxed) + added);
    });
    let outcome = send(session, command, source, tell).await.map_err(|failure| failure.about(source.name()));
    if let Err(failure) = &outcome
        && !session.output.json
    {
        transfer.note(failure.describe(("", "")).trim_end());
    }
    outcome
}

fn to_row(package: &SourcePackage) -> Vec<String> {
    vec![
        package.id.to_string(),
        package.version.to_string(),
        package.package_name.clone(),
        bytes(&package.package_size),
        package.sha256_signature.to_string()[..12].to_owned(),
    ]
}

fn find_file_name(command: &Push, path: &Path) -> Result<FileName, Failure> {
    match &command.name {
        Some(name) => Ok(name.clone()),
        None => to_file_name(&path.file_name().unwrap_or_default().to_string_lossy()),
    }
}

fn to_file_name(name: &str) -> Result<FileName, Failure> {
    FileName::new(name).map_err(|error| {
        Failure::usage(format!("the file's name `{}` {error}", safe(name))).next("give it another one with --name")
    })
}

/// What stands before the ending of an archive.
fn version_of(name: &FileName) -> Result<PackageVersion, Failure> {
    let name = name.as_str();
    let stem = ARCHIVES.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    PackageVersion::new(stem)
        .map_err(|error| Failure::new(Kind::Usage, format!("the version in the name `{name}` {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_what_it_looks_like_and_no_name_shows_a_signature() {
        assert_eq!(Source::parse("-"), Source::StandardInput);
        assert_eq!(Source::parse("./a.tgz"), Source::File("./a.tgz".into()));
        let link = Source::parse("https://example.com/x/a.tgz?sign=s3cret#f");
        assert_eq!(link.name(), "a.tgz");
        assert_eq!(Source::parse("dir/a\u{1b}.tgz").name(), "a\\u{1b}.tgz");
    }

    #[test]
    fn a_version_is_what_stands_before_the_ending() {
        for (name, version) in [("1.2.tar.gz", "1.2"), ("app-1.0.zip", "app-1.0"), ("1.2", "1.2"), ("v3.tgz", "v3")] {
            assert_eq!(version_of(&FileName::new(name).unwrap()).unwrap().as_str(), version);
        }
        assert!(version_of(&FileName::new(".zip").unwrap()).is_err());
    }
}
