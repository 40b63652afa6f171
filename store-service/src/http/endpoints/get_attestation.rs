//! Shows the signed statement of where a package came from.

use aws_lc_rs::digest::{SHA256, digest};
use linkgate_contract::{ErrorCode, Problem};
use linkgate_store_core::ingest::ports::Services;
use warp::http::header::{CACHE_CONTROL, ETAG};
use warp::http::{HeaderValue, StatusCode};

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::representation::{Judgement, Representation};
use crate::http::request::Request;

/// An envelope with a signature, of version 1.
const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let found = api.downloads.find_statement(request.target()?, request.package_id()?).await;
    let found = found.map_err(|e| reply::download_problem(&e.into()))?;
    let statement = found.ok_or_else(|| Problem::new(ErrorCode::NotFound))?;
    let tag: String = digest(&SHA256, statement.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    // An overwrite has another statement, and only the tag tells them apart.
    let size = statement.len() as u64;
    let representation = Representation { tag: tag.clone(), modified: None, is_date_exact: false, size };
    let mut reply = match representation.judge(request.route.method, &request.head.headers) {
        Judgement::PreconditionFailed => return Err(Problem::new(ErrorCode::PreconditionFailed)),
        Judgement::NotModified => {
            let mut reply = reply::no_body();
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        }
        // It is small: nobody needs a part of it.
        Judgement::Whole | Judgement::Part(_) | Judgement::NotSatisfiable => reply::success(statement, MEDIA_TYPE),
    };
    let headers = reply.headers_mut();
    headers.extend(HeaderValue::from_str(&format!("\"{tag}\"")).ok().map(|tag| (ETAG, tag)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(reply)
}
