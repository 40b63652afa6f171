//! Shows what a package has inside.

use linkgate_archive::{ListedKind, ListedMember, Package};
use linkgate_contract::{Member, MemberKind, Members, Problem};
use linkgate_store_core::download::Wanted;
use linkgate_store_core::ingest::ports::{Services, StoredFile};

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    reply::to_json(&find(api, &request).await?.1).map(reply::json)
}

/// Reads the package once more. No page of it is kept: few people look, and what they see takes a moment.
pub(in crate::http) async fn find<V: Services>(
    api: &Api<V>,
    request: &Request<'_>,
) -> Result<(StoredFile, Members), Problem> {
    let wanted = Wanted { target: request.target()?, id: request.package_id()?, expected: None };
    let file = api.downloads.find(wanted).await.map_err(|e| reply::download_problem(&e))?;
    let package = api.ingest.list_members(&file, request.caller.owner()).await;
    let package = package.map_err(|e| reply::ingest_problem(&e))?;
    Ok((file, members(package)))
}

fn members(package: Package) -> Members {
    let Package { format, entries, members, .. } = package;
    let truncated = entries > members.len() as u64;
    Members { format: format.name().to_owned(), entries, truncated, results: members.into_iter().map(member).collect() }
}

fn member(listed: ListedMember) -> Member {
    let ListedMember { path, kind, size_bytes, target } = listed;
    let kind = match kind {
        ListedKind::Folder => MemberKind::Folder,
        ListedKind::File => MemberKind::File,
        ListedKind::Symlink => MemberKind::Symlink,
        ListedKind::HardLink => MemberKind::Hardlink,
    };
    Member { path, kind, size: (kind == MemberKind::File).then_some(size_bytes), target }
}
