//! `linkgate verify`: a file against its signed statement and the store's public key.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use linkgate_client::{Envelope, PublicKey, Statement};
use linkgate_contract::Sha256;
use serde_json::json;
use sha2::Digest as _;

use super::args::{Verify, WhichPackage};
use super::failure::Failure;
use super::output::Output;
use super::session::{Session, Situation};
use crate::files::read_text;

/// What is read of a file at once.
const PIECE_BYTES: usize = 1 << 20;

/// `linkgate verify`; asks the gateway only if the statement is not in a file.
pub async fn verify(command: &Verify, situation: &Situation) -> Result<(), Failure> {
    let key = PublicKey::from_pem(&read(&command.key)?).map_err(linkgate_client::Error::from)?;
    let envelope = match &command.statement {
        Some(path) => Envelope::parse(&read(path)?).map_err(linkgate_client::Error::from)?,
        None => ask(command, situation).await?,
    };
    let statement = envelope.open(&key).map_err(linkgate_client::Error::from)?;
    let found = digest_file(&command.file)?;
    statement.check(found).map_err(linkgate_client::Error::from)?;
    print(command, &statement)
}

async fn ask(command: &Verify, situation: &Situation) -> Result<Envelope, Failure> {
    if command.id.is_none() && command.version.is_none() {
        let step = "name the statement's file with --statement, or the package with --id or --version";
        return Err(Failure::usage("no statement").next(step));
    }
    let session = Session::open(&command.common, situation)?;
    let which = WhichPackage { id: command.id, version: command.version.clone() };
    let id = session.find_package(&which).await?;
    Ok(session.client.get_attestation(&session.module, id).await?)
}

fn read(path: &Path) -> Result<String, Failure> {
    read_text(path).map_err(|error| Failure::usage(error.to_string()))
}

fn digest_file(path: &Path) -> Result<Sha256, Failure> {
    let fail = |error: std::io::Error| Failure::file("read", path, &error);
    let mut file = File::open(path).map_err(fail)?;
    let (mut hash, mut piece) = (sha2::Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).map_err(fail)? {
            0 => return Ok(Sha256::from_bytes(hash.finalize().into())),
            read => hash.update(&piece[..read]),
        }
    }
}

fn print(command: &Verify, statement: &Statement) -> Result<(), Failure> {
    let output = Output { json: command.common.show.json, quiet: command.common.show.quiet };
    let build = &statement.document["predicate"]["buildDefinition"];
    let (asked, source) = (&build["externalParameters"], &build["resolvedDependencies"][0]);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let document = json!({
        "verified": true,
        "file": command.file.to_string_lossy(),
        "sha256": statement.sha256,
        "keyid": statement.keyid,
        "statement": statement.document,
    });
    let came_from =
        if source["uri"].is_string() { text(&source["uri"]) } else { format!("file {}", text(&source["name"])) };
    let rows = [
        ("verified", command.file.display().to_string()),
        ("sha256", statement.sha256.to_string()),
        ("signed by", statement.keyid.clone()),
        ("package", statement.name.clone()),
        ("version", text(&asked["version"])),
        ("of", format!("{}/{}", text(&asked["app_code"]), text(&asked["module"]))),
        ("from", came_from),
        ("caller", text(&build["internalParameters"]["caller"]["operator"])),
        ("time", text(&statement.document["predicate"]["runDetails"]["metadata"]["finishedOn"])),
    ];
    output.print(&document, &rows)
}
