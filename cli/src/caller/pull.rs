//! `linkgate pull`: a package into a file, a folder or standard output.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use linkgate_client::{DownloadHead, Error, Pulled};
use linkgate_contract::PackageId;
use serde_json::json;

use super::args::Pull;
use super::failure::{Failure, Kind};
use super::progress::Transfer;
use super::session::{Ongoing, Session};

/// `linkgate pull`
pub async fn pull(session: &Session, command: &Pull) -> Result<(), Failure> {
    let to_stdout = command.output.as_deref() == Some(Path::new("-"));
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(
            Failure::usage("a package is not written to a terminal").next("name a file, or send it to a program")
        );
    }
    let id = session.find_package(&command.package).await?;
    let head = session.client.head_download(&session.module, id).await?;
    if let Some(expected) = command.sha256.filter(|expected| *expected != head.sha256) {
        return Err(Error::DigestMismatch { expected, got: head.sha256 }.into());
    }
    if to_stdout {
        return pull_to_stdout(session, id, &head).await;
    }
    let path = find_path(command.output.as_deref(), &head);
    if path.exists() && !command.force {
        let message = format!("{} is there already", path.display());
        return Err(Failure::usage(message).next("name another file with --output, or --force"));
    }
    let transfer = session.progress.begin(&head.file_name, Some(head.bytes));
    session.note(Ongoing::Receiving(head.part_path(&path)));
    let mut tell = |there| transfer.set_position(there);
    let outcome = session.client.pull_to_file(&session.module, id, &head, &path, &mut tell).await;
    session.note(Ongoing::Nothing);
    let pulled = settle(&transfer, outcome, Some(&head.part_path(&path)))?;
    let document = json!({
        "id": id,
        "path": path.to_string_lossy(),
        "bytes": pulled.bytes,
        "resumed_from": pulled.resumed_from,
        "sha256": pulled.sha256,
    });
    let rows = [
        ("file", path.display().to_string()),
        ("bytes", pulled.bytes.to_string()),
        ("resumed from", pulled.resumed_from.to_string()),
        ("sha256", pulled.sha256.to_string()),
    ];
    session.output.print(&document, &rows)
}

async fn pull_to_stdout(session: &Session, id: PackageId, head: &DownloadHead) -> Result<(), Failure> {
    let transfer = session.progress.begin(&head.file_name, Some(head.bytes));
    let mut tell = |there| transfer.set_position(there);
    let mut out = std::io::stdout();
    let outcome = session.client.pull_to_writer(&session.module, id, head, &mut out, &mut tell).await;
    settle(&transfer, outcome, None).map(drop)
}

/// Ends what is shown; a failure says what is left.
fn settle(transfer: &Transfer, outcome: Result<Pulled, Error>, part: Option<&Path>) -> Result<Pulled, Failure> {
    match outcome {
        Ok(pulled) => {
            transfer.finish("complete");
            Ok(pulled)
        }
        Err(error) => {
            transfer.abandon();
            let is_cut = matches!(error, Error::Unreachable { .. } | Error::BrokenOff { .. } | Error::TimedOut { .. });
            let failure = Failure::from(error);
            Err(match part.filter(|_| is_cut) {
                Some(part) => failure.next(format!("the same command resumes from {}", part.display())),
                None if failure.kind == Kind::Unreachable => {
                    failure.next("what was written is not whole; do not use it")
                }
                None => failure,
            })
        }
    }
}

/// In a folder the package has its own name.
fn find_path(output: Option<&Path>, head: &DownloadHead) -> PathBuf {
    match output {
        None => PathBuf::from(&head.file_name),
        Some(path) if path.is_dir() => path.join(&head.file_name),
        Some(path) => path.to_owned(),
    }
}
