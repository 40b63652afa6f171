//! Uploads a package that the caller sends: in a form, or as it is.

use linkgate_contract::{
    CallerApp, ErrorCode, MediaType, Problem, Sha256, TenantId, Text, UploadByFileRequest, headers,
};
use linkgate_store_core::conditions::Conditions;
use linkgate_store_core::ingest::ports::{FileBody, FileError, PackageRow, Services};
use linkgate_store_core::ingest::{FileRequest, IngestError, Upload};
use tokio::time::timeout;
use tracing::info;
use url::form_urlencoded;
use warp::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};

use super::upload_by_link::show_package;
use crate::http::auth::Caller;
use crate::http::body::BodyError;
use crate::http::conditions::read_conditions;
use crate::http::digests::{BodyDigest, Digesting, read_body_digests, read_file_digest};
use crate::http::form::{FormReader, MOST_BESIDE, refused};
use crate::http::reply::{self, Reply};
use crate::http::request::{Request, RequestHead, module_of};
use crate::http::sent_file::{BareFile, Content, FileInForm, GivenFields};
use crate::http::{Api, preferences};

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let given = read_query(&request.query());
    let Request { head, route, caller, body } = request;
    let mut content = Content::new(body, head.headers.contains_key(EXPECT));
    log(head, &caller);
    let key = preferences::read_key(&head.headers, &caller)?;
    let asked = Asked::from_head(head)?;
    refuse_encoded(head)?;
    let given = given?;
    let target = module_of(route)?;
    let upload = |request| make_upload(head, &caller, request, target.clone());
    let media_type = MediaType::from_header(head.headers.get(headers::CONTENT_TYPE).map(|value| value.as_bytes()));
    let row = if let (MediaType::Multipart(boundary), None) = (media_type, &route.params.file_name) {
        let boundary = boundary.ok_or_else(|| problem(refused(linkgate_contract::InvalidForm::NoBoundary)))?;
        content.digest(Digesting::new(asked.digests.clone()));
        let mut share = api.shares.body(caller.owner()).map_err(BodyError::from)?;
        share.grow(MOST_BESIDE).map_err(BodyError::from)?;
        let begun = FileInForm::begin(FormReader::new(&boundary, content), given);
        let form = timeout(api.body_timeout, begun).await.map_err(|_| BodyError::TooSlow)?.map_err(problem)?;
        let request = asked.request(form.fields()?, false);
        let form = form.with_template(request.clone());
        let row = receive(api, upload(request), key, form).await;
        drop(share);
        row?
    } else {
        let fields = UploadByFileRequest::from_fields(route.params.file_name.clone(), &given.to_fields())?;
        content.digest(Digesting::new(asked.beside_sha256()));
        let request = asked.request(fields, true);
        receive(api, upload(request.clone()), key, BareFile::new(content, request)).await?
    };
    show_package(&row, &api.time_zone)
}

async fn receive<V: Services>(
    api: &Api<V>,
    upload: Upload<FileRequest>,
    key: Option<Sha256>,
    body: impl FileBody,
) -> Result<PackageRow, Problem> {
    api.ingest.receive(upload, key, body).await.map_err(|e| reply::ingest_problem(&e))
}

fn problem(error: FileError) -> Problem {
    reply::ingest_problem(&IngestError::File(error))
}

/// What the head asks for beside the fields.
struct Asked {
    file_digests: Vec<Sha256>,
    digests: Vec<BodyDigest>,
    conditions: Conditions,
    returns_existing: bool,
    length: Option<u64>,
}

impl Asked {
    fn from_head(head: &RequestHead) -> Result<Self, Problem> {
        Ok(Self {
            file_digests: read_file_digest(&head.headers)?,
            digests: read_body_digests(&head.headers)?,
            conditions: read_conditions(&head.headers)?,
            returns_existing: preferences::returns_existing(&head.headers),
            length: head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()),
        })
    }

    /// The digests of the body that are not made anyway where the body is the file.
    fn beside_sha256(&self) -> Vec<BodyDigest> {
        self.digests.iter().filter(|digest| digest.as_sha256().is_none()).cloned().collect()
    }

    /// With these fields; `is_bare` says that the body is the file.
    fn request(&self, fields: UploadByFileRequest, is_bare: bool) -> FileRequest {
        let of_body = self.digests.iter().filter(|_| is_bare).filter_map(BodyDigest::as_sha256);
        let around = if is_bare { 0 } else { MOST_BESIDE as u64 };
        FileRequest {
            fields,
            more_digests: self.file_digests.iter().copied().chain(of_body).collect(),
            conditions: self.conditions.clone(),
            returns_existing: self.returns_existing,
            is_complete: is_bare,
            announced_bytes: self.length.map(|length| length.saturating_sub(around)),
        }
    }
}

/// The query, of which each field counts that is read here.
fn read_query(query: &str) -> Result<GivenFields, Problem> {
    let mut given = GivenFields::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        given.add(&name, value.into_owned())?;
    }
    Ok(given)
}

/// Stored would be other bytes than those that the caller has.
fn refuse_encoded(head: &RequestHead) -> Result<(), Problem> {
    let encodings = head.headers.get_all(CONTENT_ENCODING).iter();
    if encodings.into_iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Problem::with_detail(
        ErrorCode::UnsupportedMediaType,
        Text::fixed(
            "不支持带有 Content-Encoding 的请求体，请按原样发送文件",
            "A body with a Content-Encoding is not taken, send the file as it is",
        ),
    ))
}

fn make_upload(
    head: &RequestHead,
    caller: &Caller,
    request: FileRequest,
    target: linkgate_contract::ModuleRef,
) -> Upload<FileRequest> {
    Upload {
        target,
        request,
        caller_app: caller.app.clone(),
        operator: caller.operator.clone(),
        tenant: caller.tenant.clone(),
        allowance: caller.allowance.clone(),
        callers_own: None,
        request_id: head.request_id().to_owned(),
        client_address: head.client_address().to_owned(),
    }
}

fn log(head: &RequestHead, caller: &Caller) {
    let Caller { app, operator, tenant, .. } = caller;
    let app_code = app.as_ref().map_or("", CallerApp::as_str);
    let tenant_id = tenant.as_ref().map(TenantId::as_str);
    info!(
        request.id = head.request_id(),
        caller.app = app_code,
        caller.user = %operator,
        caller.tenant = tenant_id,
        "Uploading a file for `{operator}`"
    );
}
