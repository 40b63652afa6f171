//! What callers read. The only file that turns failures into codes.
//!
//! Promises: one table per kind of failure. Refuses to pass on what a caller must not learn: addresses that our resolver
//! saw, paths, database messages. Those are for the log.

mod change;
mod detail;
mod package;
mod plan;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use linkgate_archive::Format;
use linkgate_contract::{ErrorCode, JobId, Language, Problem, SourcePackage, Text};
use linkgate_store_core::budget::Exhausted;
use linkgate_store_core::download::DownloadError;
use linkgate_store_core::ingest::ports::{
    BlobError, CatalogError, CredentialError, Failure, FileError, PackageRow, QueueError, SentCredential, SourceError,
    Unreachable,
};
use linkgate_store_core::ingest::{IngestError, NotReady, chain};
use serde::Serialize;
use tracing::error;
use warp::http::header::{ALLOW, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, Response, StatusCode};

use super::auth::AuthError;
use super::body::BodyError;
use super::shares::{Kind, TooMany, Whose};

pub(super) use change::change_problem;
pub(super) use detail::{event, package_detail, package_document, pin, state_tag, sums, with_state_tag};
pub(super) use plan::cleanup_plan;

/// A reply, mostly with its whole body.
pub(super) type Reply = warp::reply::Response;

/// A refusal, in the caller's language.
pub(super) fn refusal(problem: &Problem, language: Language) -> Reply {
    let mut reply = with_status(problem.code().status(), problem.body(language));
    for (name, value) in problem.headers() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            reply.headers_mut().insert(name, value);
        }
    }
    let more = match problem.code() {
        ErrorCode::NotAuthenticated => Some((WWW_AUTHENTICATE, HeaderValue::from_static("X-Bkapi-JWT"))),
        ErrorCode::TooManyUploads | ErrorCode::TooManyRequests => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
        _ => None,
    };
    reply.headers_mut().extend(more);
    reply
}

/// A refusal of the method.
pub(super) fn method_refusal(allowed: &str, language: Language) -> Reply {
    let mut reply = refusal(&Problem::new(ErrorCode::MethodNotAllowed), language);
    reply.headers_mut().extend(HeaderValue::from_str(allowed).ok().map(|allowed| (ALLOW, allowed)));
    reply
}

/// A success with a JSON body.
pub(super) fn json(body: String) -> Reply {
    success(body, "application/json")
}

/// A success that says nothing.
pub(super) fn no_content() -> Reply {
    with_status(204, String::new())
}

/// A success whose head is all there is to say.
pub(super) fn no_body() -> Reply {
    with_status(200, String::new())
}

/// The caller has it already.
pub(super) fn not_modified() -> Reply {
    with_status(304, String::new())
}

/// A reply with the tag of what it shows.
pub(super) fn tagged(mut reply: Reply, etag: &str) -> Reply {
    reply.headers_mut().extend(HeaderValue::from_str(etag).ok().map(|etag| (ETAG, etag)));
    reply
}

/// A body. No type of a reply fails to be written.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|_| Problem::new(ErrorCode::Internal))
}

/// A success with a body of this media type.
pub(super) fn success(body: String, media_type: &'static str) -> Reply {
    let mut reply = with_status(200, body);
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    reply
}

/// An upload goes on; where it can be asked for is relative to where it was asked for, whatever prefix the gateway knows.
pub(super) fn accepted(body: String, id: &JobId) -> Reply {
    let mut reply = with_status(202, body);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("preference-applied", HeaderValue::from_static("respond-async"));
    if let Ok(place) = HeaderValue::from_str(&format!("{id}/")) {
        headers.insert(LOCATION, place);
    }
    reply
}

/// A reply of this status that says nothing but its body.
pub(super) fn with_status(status: u16, body: String) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// A recorded package, as the caller reads it.
pub(super) fn package(entry: &PackageRow, zone: &TimeZone) -> SourcePackage {
    SourcePackage {
        id: entry.id,
        version: entry.version.clone(),
        package_name: entry.package_name.clone(),
        package_size: entry.size_bytes.to_string(),
        sha256_signature: entry.sha256,
        is_deleted: entry.is_deleted,
        updated: format_time(entry.updated_ms, zone),
        created: format_time(entry.created_ms, zone),
        operator: entry.operator.clone(),
    }
}

pub(super) fn format_time(ms: i64, zone: &TimeZone) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

impl From<&AuthError> for Problem {
    fn from(error: &AuthError) -> Self {
        let text = match error {
            AuthError::App | AuthError::User | AuthError::Uncovered { .. } | AuthError::NoListing { .. } => {
                return Self::new(ErrorCode::PermissionDenied);
            }
            AuthError::Missing => return Self::new(ErrorCode::NotAuthenticated),
            AuthError::Expired => Text::fixed("身份认证信息已过期", "The authentication has expired"),
            _ => Text::fixed("身份认证信息无效", "The authentication is invalid"),
        };
        Self::with_detail(ErrorCode::NotAuthenticated, text)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let text = match error {
            BodyError::TooLarge => return Self::new(ErrorCode::BodyTooLarge),
            BodyError::TooMany(_) => return Self::new(ErrorCode::TooManyRequests),
            BodyError::TooSlow => Text::fixed("读取请求体超时", "The request body did not arrive in time"),
            BodyError::Broken => Text::fixed("请求体不完整", "The request body is incomplete"),
        };
        Self::with_detail(ErrorCode::ParseError, text)
    }
}

impl From<TooMany> for Problem {
    fn from(TooMany { kind, whose, bound }: TooMany) -> Self {
        let text = match (whose, kind) {
            (Whose::Everybody, _) => return Self::new(ErrorCode::TooManyRequests),
            (Whose::Caller, Kind::Waiter) => Text::made(
                format!("等待上传结束的请求已达到单个调用方的上限（{bound} 个），请稍后重试"),
                format!(
                    "As many of your requests wait for uploads as one caller may have ({bound}), try again when some have ended"
                ),
            ),
            (Whose::Caller, Kind::Watcher) => Text::made(
                format!("事件流已达到单个调用方的上限（{bound} 个），请先关闭一部分"),
                format!("As many of your event streams are open as one caller may have ({bound}), close some first"),
            ),
            (Whose::Caller | Whose::Upload, Kind::Download) => Text::made(
                format!("正在进行的下载已达到单个调用方的上限（{bound} 个），请在部分下载结束后重试"),
                format!(
                    "As many of your downloads run as one caller may have ({bound}), try again when some have ended"
                ),
            ),
            (Whose::Upload, Kind::Waiter) => Text::made(
                format!("等待该上传的请求已达到上限（{bound} 个），请稍后重试"),
                format!("As many requests wait for this upload as may ({bound}), try again in a moment"),
            ),
            (Whose::Upload, Kind::Watcher) => Text::made(
                format!("该上传的事件流已达到上限（{bound} 个），请改为轮询"),
                format!("As many event streams of this upload are open as may be ({bound}), ask for it without events"),
            ),
        };
        Self::with_detail(ErrorCode::TooManyRequests, text)
    }
}

/// What a caller reads where packages could not be looked up.
pub(super) fn read_problem(error: &CatalogError) -> Problem {
    match error {
        CatalogError::Busy => Problem::with_detail(
            ErrorCode::TooManyRequests,
            Text::fixed("正在读取的请求过多，请稍后重试", "Too many requests read packages, try again in a moment"),
        ),
        CatalogError::TooCostly => Problem::with_detail(
            ErrorCode::Validation,
            Text::fixed(
                "查询涉及的源码包过多；请使用至少三个字符的搜索词、version 或 sha256_signature 缩小范围，或去掉 order_by",
                "Too many packages would have to be looked at; narrow it down by a term of three characters or more, by version or sha256_signature, or leave order_by out",
            ),
        ),
        // The rest is what a change is refused with, and no change is made.
        _ => {
            error!(error = chain(error), "Cannot look packages up");
            catalog_problem(error)
        }
    }
}

/// What a caller reads where the database fails.
fn catalog_problem(error: &CatalogError) -> Problem {
    match error {
        CatalogError::Unavailable(_) => database_away(),
        _ => Problem::new(ErrorCode::Internal),
    }
}

/// The same of the queue in it.
fn queue_problem(error: &QueueError) -> Problem {
    match error {
        QueueError::Unavailable(_) => database_away(),
        _ => Problem::new(ErrorCode::Internal),
    }
}

fn database_away() -> Problem {
    Problem::with_detail(
        ErrorCode::Unavailable,
        Text::fixed("数据库暂时不可用，请稍后重试", "The database does not answer, try again later"),
    )
}

/// What is used up in sum is nobody's own affair. A caller that holds its own share is told so: it is the one who can do something
/// about it.
fn used_up(exhausted: Exhausted, code: ErrorCode, own_share: impl FnOnce(usize) -> Text) -> Problem {
    match exhausted {
        Exhausted::Sum { .. } => Problem::new(code),
        Exhausted::Owner { bound } => Problem::with_detail(code, own_share(bound)),
    }
}

/// As many pages are sent as may be.
pub(super) fn too_many_pages(exhausted: Exhausted) -> Problem {
    used_up(exhausted, ErrorCode::TooManyRequests, |_| {
        Text::fixed(
            "正在读取的列表已达到单个调用方的上限，请稍后重试",
            "You read as many pages at a time as one caller may, try again when some have come",
        )
    })
}

/// As many packages are looked into as may be.
fn too_many_listings(exhausted: Exhausted) -> Problem {
    used_up(exhausted, ErrorCode::TooManyRequests, |bound| {
        Text::made(
            format!("正在查看的包内文件列表已达到单个调用方的上限（{bound} 个），请稍后重试"),
            format!("You look into as many packages at a time as one caller may ({bound}), try again in a moment"),
        )
    })
}

/// What a caller reads of an upload that failed.
pub(super) fn ingest_problem(error: &IngestError) -> Problem {
    match error {
        IngestError::UnknownModule => Problem::new(ErrorCode::NotFound),
        IngestError::UnsupportedOrigin(_) => Problem::new(ErrorCode::UnsupportedSourceOrigin),
        IngestError::VersionMissing { format } => version_missing(*format),
        IngestError::Name(error) => Problem::field("package_url", error.caller_message()),
        IngestError::AlreadyExists => Problem::new(ErrorCode::PackageAlreadyExists),
        IngestError::InUse(pins) => change::protected(pins),
        IngestError::QuotaExceeded(exceeded) => change::quota_exceeded(exceeded),
        IngestError::Busy => Problem::new(ErrorCode::TooManyUploads),
        IngestError::QueueFull(exhausted) => queue_full(*exhausted),
        IngestError::TooManyFiles(exhausted) => too_many_files(*exhausted),
        IngestError::File(error) => file_problem(error),
        IngestError::Condition(_) => Problem::new(ErrorCode::PreconditionFailed),
        IngestError::TooManyKeys(_) => Problem::with_detail(
            ErrorCode::TooManyRequests,
            Text::fixed(
                "该上传对应的 Idempotency-Key 过多，请使用已用过的 Idempotency-Key",
                "Too many keys stand for this upload, use one that you have used for it",
            ),
        ),
        IngestError::Source(error) => source_problem(error),
        IngestError::ChecksumMismatch { expected, found } => Problem::with_detail(
            ErrorCode::ChecksumMismatch,
            Text::made(
                format!("源码包的 SHA-256 不一致：应为 {expected}，实际为 {found}"),
                format!("The package has another SHA-256: expected {expected}, got {found}"),
            ),
        ),
        IngestError::TooManyListings(exhausted) => too_many_listings(*exhausted),
        IngestError::Archive(error) => package::archive_problem(error),
        IngestError::Blob(error) => blob_problem(error),
        IngestError::Catalog(error) => catalog_problem(error),
        IngestError::Queue(error) => queue_problem(error),
        IngestError::JoinedFailed(failure) => joined_problem(failure),
        IngestError::GivenUp { lives } => Problem::with_detail(
            ErrorCode::UploadAbandoned,
            Text::made(
                format!("服务 {lives} 次在处理该上传时异常退出，已放弃该上传"),
                format!("The service ended {lives} times while it worked on the upload, and gave it up"),
            ),
        ),
        IngestError::NoSealingKey => no_sealing_key(),
        IngestError::SealLost => Problem::with_detail(
            ErrorCode::Internal,
            Text::fixed(
                "为该上传保存的内容已无法读取，请重新上传",
                "What was kept of the upload cannot be read any more, upload it again",
            ),
        ),
        IngestError::Cancelled => Problem::new(ErrorCode::UploadCancelled),
        IngestError::KeyReused => Problem::new(ErrorCode::IdempotencyKeyReused),
        IngestError::ClaimLost | IngestError::Stopping => Problem::new(ErrorCode::Unavailable),
    }
}

/// Names the ways out: one for the caller, one for the operator.
fn no_sealing_key() -> Problem {
    Problem::field(
        "X-Linkgate-Source-Authorization",
        Text::fixed(
            "服务未配置密封密钥，带有该请求头的上传不能使用 Prefer: respond-async 或 Idempotency-Key；请去掉它们，或联系管理员。",
            "The store has no key to seal this credential with, so it cannot outlive the request. Leave out Prefer: respond-async and Idempotency-Key, or ask the operator.",
        ),
    )
}

/// What a caller reads of a blob that could not be written, read or found.
fn blob_problem(error: &BlobError) -> Problem {
    match error {
        BlobError::NoSpace(_) => Problem::new(ErrorCode::InsufficientStorage),
        BlobError::Unavailable(_) => Problem::with_detail(
            ErrorCode::Unavailable,
            Text::fixed("对象存储暂时不可用，请稍后重试", "The object storage does not answer, try again later"),
        ),
        BlobError::Swept => Problem::with_detail(
            ErrorCode::Unavailable,
            Text::fixed(
                "存储服务与数据库断开过久，请重新上传",
                "The store was cut off from its database for too long, upload the package again",
            ),
        ),
        BlobError::NotFound | BlobError::Io { .. } | BlobError::WriterGone => Problem::new(ErrorCode::ObjectStore),
    }
}

/// What a caller reads of a package that cannot be downloaded.
pub(super) fn download_problem(error: &DownloadError) -> Problem {
    if let DownloadError::Blob(_) | DownloadError::Catalog(_) = error {
        error!("A package cannot be read: {}", chain(error));
    }
    match error {
        DownloadError::Unknown => Problem::new(ErrorCode::NotFound),
        DownloadError::Deleted => Problem::new(ErrorCode::PackageDeleted),
        DownloadError::Purged => Problem::new(ErrorCode::PackagePurged),
        DownloadError::Changed => Problem::new(ErrorCode::PackageChanged),
        DownloadError::Damaged => Problem::new(ErrorCode::ObjectStore),
        DownloadError::Blob(error) => blob_problem(error),
        DownloadError::Catalog(error) => catalog_problem(error),
    }
}

/// As many uploads wait as may.
fn queue_full(exhausted: Exhausted) -> Problem {
    used_up(exhausted, ErrorCode::TooManyUploads, |bound| {
        Text::made(
            format!("排队中的上传已达到单个调用方的上限（{bound} 个），请在部分上传结束后重试"),
            format!("As many of your uploads wait as one caller may have ({bound}), try again when some have ended"),
        )
    })
}

/// The same of files that come at once.
fn too_many_files(exhausted: Exhausted) -> Problem {
    used_up(exhausted, ErrorCode::TooManyUploads, |bound| {
        Text::made(
            format!("正在上传的文件已达到单个调用方的上限（{bound} 个），请在部分上传结束后重试"),
            format!(
                "As many of your files come at once as one caller may send ({bound}), try again when some have ended"
            ),
        )
    })
}

fn file_problem(error: &FileError) -> Problem {
    match error {
        FileError::Broken => BodyError::Broken.into(),
        FileError::Silent(after) => too_slow(
            format!("{} 秒内没有收到任何数据，请重新上传", after.as_secs()),
            format!("No byte of the file came for {} seconds, send it again", after.as_secs()),
        ),
        FileError::TooSlow { min_rate, over } => too_slow(
            format!("文件传输过慢：{} 秒内平均每秒不足 {min_rate} 字节", over.as_secs()),
            format!("The file comes too slowly: under {min_rate} bytes per second for {} seconds", over.as_secs()),
        ),
        FileError::TimedOut(after) => too_slow(
            format!("文件未能在 {} 秒内传完", after.as_secs()),
            format!("The file did not come within {} seconds", after.as_secs()),
        ),
        FileError::TooLarge { limit_bytes } => too_large(ErrorCode::FileTooLarge, *limit_bytes),
        FileError::SizeMismatch { expected, found } => size_mismatch(*expected, *found),
        FileError::Refused(problem) => problem.clone(),
    }
}

fn too_slow(zh: String, en: String) -> Problem {
    Problem::with_detail(ErrorCode::UploadTimeout, Text::made(zh, en))
}

fn too_large(code: ErrorCode, limit_bytes: u64) -> Problem {
    Problem::with_detail(
        code,
        Text::made(
            format!("源码包过大，上限为 {limit_bytes} 字节"),
            format!("The package is too large, the limit is {limit_bytes} bytes"),
        ),
    )
}

fn size_mismatch(expected: u64, found: Option<u64>) -> Problem {
    Problem::with_detail(
        ErrorCode::SizeMismatch,
        Text::made(
            format!("源码包的大小不一致：应为 {expected} 字节，实际为 {}", or_more(found, "更多")),
            format!("The package has another size: expected {expected} bytes, got {}", or_more(found, "more")),
        ),
    )
}

/// As the process that did the work would have answered.
fn joined_problem(failure: &Failure) -> Problem {
    let code = *ErrorCode::ALL.iter().find(|code| code.name() == failure.code).unwrap_or(&ErrorCode::Internal);
    let [zh, en] = [Language::Chinese, Language::English].map(|language| failure.detail(language).to_owned());
    Problem::with_detail(code, Text::made(zh, en))
}

fn version_missing(format: Format) -> Problem {
    let text = if format == Format::Opaque {
        Text::fixed(
            "请提供版本号：该文件不是压缩包，无法从中读取。",
            "Give a version: the file is no archive that could name one.",
        )
    } else {
        Text::fixed(
            "请提供版本号：源码包中没有 app_desc.yaml，或其中没有版本号。",
            "Give a version: the package has no app_desc.yaml, or none with a version in it.",
        )
    };
    Problem::field("version", text)
}

/// What callers read of a source, which docs/reference/REASONS.md lists:
///
/// - `the host name could not be resolved`: no name server knows the host, or none answered.
/// - `the source refused the connection`, `no connection to the source came about`: nothing listens there, or nothing
///   leads there.
/// - `the certificate of the source has expired or is not valid yet`: the store does not believe the certificate.
/// - `the certificate of the source is for another host name`: likewise.
/// - `the certificate of the source is from an unknown issuer`: likewise.
/// - `the certificate of the source is not valid`: likewise.
/// - `the TLS handshake with the source failed`: the source speaks no TLS, or none that the store speaks.
/// - `the source asks for a client certificate, and the operator has set up none for its host`: sources may ask who the
///   store is. Ask the operator.
/// - `the source does not accept the client certificate of the store`: the same.
/// - `the answer of the source is no valid HTTP`: something else listens there, or the head is broken or too large,
///   or over 16 interim answers (1xx) precede it.
/// - `the answer of the source broke off`: the connection ended before the head or the body did.
/// - `the proxy of the operator could not be connected to`: it is down, or speaks no HTTP. This and the next two only
///   where the operator has a proxy on the way out.
/// - `the proxy of the operator does not let the store through to the source`: it refused, or did not take the
///   store's credentials. Ask the operator.
/// - `the proxy of the operator could not reach the source`: nothing leads from it to the source.
/// - `the source answered …`: a status other than 200.
/// - `the source refused the credential …`: 401 or 403 to a credential of the operator's.
/// - `the source refused the credential of X-Linkgate-Source-Authorization (…)`: the same of your own.
/// - `the policy names the credential …`: the operator set up one of the two places only.
/// - `the source answered with an HTML page instead of a package, such as a login or an error page`: bytes that open
///   an HTML document; or markup that the source itself calls `text/html`. The store takes a package that the source
///   only calls so.
/// - `the file changed while it was being read`: each attempt met another version of the file.
/// - `the source did not say how long the file is, so it may be cut off; give its sha256 or its size`: a body without
///   a length that ended with its connection, and no archive, which would tell whether it is whole.
/// - `the source answered with a content encoding`: an encoded body (`gzip`, `br`, `zstd` and the like), although the
///   store asked for none. A `Content-Encoding` that names no coding (`identity`, `aws-chunked`, `UTF-8`, nothing) is
///   ignored.
/// - `it redirects more than … times`: the sixth redirect.
/// - `it redirects from https to http`: a downgrade.
/// - `it redirects to something that is no valid link`: a target that would be refused as `package_url`, too.
fn source_problem(error: &SourceError) -> Problem {
    match error {
        SourceError::ForbiddenAddress { .. } => {
            Problem::field("package_url", Text::fixed("不允许从该主机下载。", "The host may not be fetched from."))
        }
        SourceError::RedirectNotAllowed { host } => Problem::field(
            "package_url",
            Text::made(
                format!("下载地址被重定向到主机 '{host}'，该主机不在允许的白名单中。"),
                format!("The link redirects to host '{host}', which is not in the allow-list."),
            ),
        ),
        SourceError::SizeMismatch { expected, found } => size_mismatch(*expected, *found),
        SourceError::TooLarge { limit_bytes } => too_large(ErrorCode::PackageTooLarge, *limit_bytes),
        SourceError::TooSlow { min_rate, over } => Problem::with_detail(
            ErrorCode::SourceTimeout,
            Text::made(
                format!("源站传输过慢：{} 秒内平均每秒不足 {min_rate} 字节", over.as_secs()),
                format!("The source is too slow: under {min_rate} bytes per second for {} seconds", over.as_secs()),
            ),
        ),
        SourceError::TimedOut { .. } => Problem::new(ErrorCode::SourceTimeout),
        SourceError::Transport { reason, .. } => unreachable_problem(*reason),
        SourceError::RedirectInvalid(_) => {
            unreadable("重定向到无效的地址", "it redirects to something that is no valid link")
        }
        SourceError::RedirectDowngrade => unreadable("从 https 重定向到 http", "it redirects from https to http"),
        SourceError::TooManyRedirects { limit } => {
            unreadable(&format!("重定向超过 {limit} 次"), &format!("it redirects more than {limit} times"))
        }
        SourceError::Status { status } => {
            unreadable(&format!("源站返回 {status}"), &format!("the source answered {status}"))
        }
        SourceError::Credential(error) => credential_problem(error),
        SourceError::Encoded => unreadable("源站返回了压缩编码的内容", "the source answered with a content encoding"),
        SourceError::Page => unreadable(
            "源站返回的是 HTML 页面，而不是源码包（可能是登录页或错误页）",
            "the source answered with an HTML page instead of a package, such as a login or an error page",
        ),
        SourceError::NoEnd => unreadable(
            "源站没有给出文件长度，无法确认文件是否完整；请提供 sha256 或 size",
            "the source did not say how long the file is, so it may be cut off; give its sha256 or its size",
        ),
        SourceError::Changed => unreadable("文件在下载过程中发生变化", "the file changed while it was being read"),
    }
}

fn credential_problem(error: &CredentialError) -> Problem {
    match error {
        CredentialError::Refused { whose: SentCredential::Named(name), status } => unreadable(
            &format!("源站拒绝了凭证 {name}（{status}），请联系管理员"),
            &format!("the source refused the credential `{name}` ({status}); ask the operator"),
        ),
        CredentialError::Refused { whose: SentCredential::CallersOwn, status } => unreadable(
            &format!("源站拒绝了 X-Linkgate-Source-Authorization 中的凭证（{status}）"),
            &format!("the source refused the credential of X-Linkgate-Source-Authorization ({status})"),
        ),
        CredentialError::Unknown { name } => unreadable(
            &format!("服务没有访问策略指定的凭证 {name}，请联系管理员"),
            &format!("the policy names the credential `{name}`, which the store does not have; ask the operator"),
        ),
        CredentialError::OverHttp => Problem::field(
            "package_url",
            Text::fixed(
                "访问该地址需要凭证，而凭证只通过 https 发送；请提供 https 地址。",
                "A credential goes with this link, and it is sent over https only; give an https link.",
            ),
        ),
    }
}

fn unreachable_problem(reason: Unreachable) -> Problem {
    let (zh, en) = match reason {
        Unreachable::UnknownName => ("主机名无法解析", "the host name could not be resolved"),
        Unreachable::ConnectionRefused => ("源站拒绝连接", "the source refused the connection"),
        Unreachable::NoConnection => ("无法与源站建立连接", "no connection to the source came about"),
        Unreachable::CertificateTime => {
            ("源站的证书已过期或尚未生效", "the certificate of the source has expired or is not valid yet")
        }
        Unreachable::CertificateName => {
            ("源站的证书不是签发给该主机名的", "the certificate of the source is for another host name")
        }
        Unreachable::CertificateIssuer => {
            ("源站的证书由未知机构签发", "the certificate of the source is from an unknown issuer")
        }
        Unreachable::Certificate => ("源站的证书无效", "the certificate of the source is not valid"),
        Unreachable::Tls => ("与源站的 TLS 握手失败", "the TLS handshake with the source failed"),
        Unreachable::ClientCertificateMissing => (
            "源站要求客户端证书，而运营方没有为该主机配置",
            "the source asks for a client certificate, and the operator has set up none for its host",
        ),
        Unreachable::ClientCertificateRefused => {
            ("源站不接受客户端证书", "the source does not accept the client certificate of the store")
        }
        Unreachable::NotHttp => ("源站的响应不是有效的 HTTP", "the answer of the source is no valid HTTP"),
        Unreachable::BrokeOff => ("源站中断了传输", "the answer of the source broke off"),
        Unreachable::ProxyUnreachable => {
            ("无法连接运营方的代理", "the proxy of the operator could not be connected to")
        }
        Unreachable::ProxyRefused => {
            ("运营方的代理不允许访问该源站", "the proxy of the operator does not let the store through to the source")
        }
        Unreachable::ProxyCannotReach => {
            ("运营方的代理无法连接源站", "the proxy of the operator could not reach the source")
        }
    };
    unreadable(zh, en)
}

fn unreadable(zh: &str, en: &str) -> Problem {
    let text = Text::made(format!("无法读取源码包下载地址：{zh}"), format!("The package_url could not be read: {en}"));
    Problem::with_detail(ErrorCode::SourceUnreachable, text)
}

fn or_more(bytes: Option<u64>, more: &str) -> String {
    bytes.map_or_else(|| more.to_owned(), |bytes| bytes.to_string())
}

/// Names what fails, not how: probes are not authenticated.
pub(super) fn not_ready(failed: &[NotReady]) -> Problem {
    let name = |f: &NotReady| match f {
        NotReady::Blobs(_) => ("源码包存储", "the blob storage"),
        NotReady::Catalog(_) => ("数据库", "the database"),
    };
    let (zh, en): (Vec<_>, Vec<_>) = failed.iter().map(name).unzip();
    let text = Text::made(format!("无法写入：{}", zh.join("、")), format!("Cannot be written: {}", en.join(", ")));
    Problem::with_detail(ErrorCode::Unavailable, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    use linkgate_archive::ArchiveError;
    use linkgate_contract::{CredentialName, NameTooLong, Sha256};
    use linkgate_store_core::ingest::ports::{CatalogError, Phase};
    use linkgate_store_core::settings::{QuotaExceeded, SourceOrigin};

    #[test]
    fn every_failure_has_its_code_and_none_tells_too_much() {
        use ErrorCode as C;
        let io = || std::io::Error::other("SECRET /data");
        let cases = [
            (IngestError::UnknownModule, C::NotFound),
            (IngestError::UnsupportedOrigin(SourceOrigin::AuthorizedVcs), C::UnsupportedSourceOrigin),
            (IngestError::Name(NameTooLong), C::Validation),
            (IngestError::VersionMissing { format: Format::Tar }, C::Validation),
            (IngestError::VersionMissing { format: Format::Opaque }, C::Validation),
            (IngestError::Archive(ArchiveError::Io(std::io::ErrorKind::Other)), C::ObjectStore),
            (IngestError::AlreadyExists, C::PackageAlreadyExists),
            (IngestError::InUse(Vec::new()), C::PackageInUse),
            (
                IngestError::QuotaExceeded(QuotaExceeded {
                    scope: "max_package_bytes",
                    limit: 1,
                    used: 0,
                    requested: 2,
                }),
                C::PackageQuotaExceeded,
            ),
            (IngestError::Busy, C::TooManyUploads),
            (IngestError::QueueFull(Exhausted::Owner { bound: 1 }), C::TooManyUploads),
            (IngestError::QueueFull(Exhausted::Sum { bound: 1 }), C::TooManyUploads),
            (IngestError::TooManyKeys(Exhausted::Owner { bound: 1 }), C::TooManyRequests),
            (
                IngestError::ChecksumMismatch {
                    expected: Sha256::from_bytes([0xaa; 32]),
                    found: Sha256::from_bytes([0; 32]),
                },
                C::ChecksumMismatch,
            ),
            (IngestError::Cancelled, C::UploadCancelled),
            (IngestError::KeyReused, C::IdempotencyKeyReused),
            (IngestError::NoSealingKey, C::Validation),
            (IngestError::SealLost, C::Internal),
            (IngestError::GivenUp { lives: 3 }, C::UploadAbandoned),
            (IngestError::Stopping, C::Unavailable),
            (IngestError::Blob(BlobError::NoSpace(io())), C::InsufficientStorage),
            (IngestError::Blob(BlobError::Io { doing: "SECRET", cause: io() }), C::ObjectStore),
            (IngestError::Blob(BlobError::Unavailable(io().into())), C::Unavailable),
            (IngestError::Blob(BlobError::Swept), C::Unavailable),
            (IngestError::Blob(BlobError::WriterGone), C::ObjectStore),
            (IngestError::Catalog(CatalogError::Database(io().into())), C::Internal),
            (IngestError::Catalog(CatalogError::Unavailable(io().into())), C::Unavailable),
            (IngestError::Queue(QueueError::Database(io().into())), C::Internal),
            (IngestError::Queue(QueueError::Unavailable(io().into())), C::Unavailable),
        ];
        assert_codes(cases);
    }

    #[test]
    fn every_failure_of_a_source_has_its_code_and_none_tells_too_much() {
        use ErrorCode as C;
        let second = std::time::Duration::from_secs(1);
        let broken = std::io::Error::other("SECRET 10.0.0.1").into();
        let cases = [
            (SourceError::ForbiddenAddress { host: "SECRET".into(), address: [10, 0, 0, 1].into() }, C::Validation),
            (SourceError::RedirectNotAllowed { host: "other.example".into() }, C::Validation),
            (SourceError::RedirectDowngrade, C::SourceUnreachable),
            (SourceError::TooManyRedirects { limit: 5 }, C::SourceUnreachable),
            (SourceError::Status { status: 404 }, C::SourceUnreachable),
            (CredentialError::Refused { whose: SentCredential::CallersOwn, status: 401 }.into(), C::SourceUnreachable),
            (CredentialError::Unknown { name: CredentialName::new("nexus").unwrap() }.into(), C::SourceUnreachable),
            (CredentialError::OverHttp.into(), C::Validation),
            (SourceError::Encoded, C::SourceUnreachable),
            (SourceError::Page, C::SourceUnreachable),
            (SourceError::Changed, C::SourceUnreachable),
            (SourceError::NoEnd, C::SourceUnreachable),
            (SourceError::SizeMismatch { expected: 7, found: Some(8) }, C::SizeMismatch),
            (SourceError::TooSlow { min_rate: 1, over: second }, C::SourceTimeout),
            (SourceError::TooLarge { limit_bytes: 7 }, C::PackageTooLarge),
            (SourceError::TimedOut { phase: Phase::Body, after: second }, C::SourceTimeout),
            (
                SourceError::Transport { phase: Phase::Body, reason: Unreachable::BrokeOff, cause: broken },
                C::SourceUnreachable,
            ),
        ];
        assert_codes(cases.map(|(error, code)| (IngestError::Source(error), code)));
    }

    fn assert_codes(cases: impl IntoIterator<Item = (IngestError, ErrorCode)>) {
        for (error, want) in cases {
            let problem = ingest_problem(&error);
            assert_eq!(problem.code(), want, "{error:?}");
            for language in [Language::Chinese, Language::English] {
                let body = problem.body(language);
                assert!(!body.contains("SECRET") && !body.contains("10.0.0.1"), "{body}");
            }
        }
    }

    #[test]
    fn times_are_shown_in_the_zone_of_the_operator() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        assert_eq!(format_time(1_724_153_820_999, &shanghai), "2024-08-20 19:37:00");
        assert_eq!(format_time(1_724_153_820_000, &TimeZone::UTC), "2024-08-20 11:37:00");
    }
}
