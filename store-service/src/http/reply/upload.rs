//! What callers read of an upload that failed.

use linkgate_archive::Format;
use linkgate_contract::{ErrorCode, Language, Problem, Text};
use linkgate_store_core::budget::Exhausted;
use linkgate_store_core::ingest::IngestError;
use linkgate_store_core::ingest::ports::{Failure, FileError};

use super::change::{protected, quota_exceeded};
use super::package::archive_problem;
use super::request::used_up;
use super::source::{size_mismatch, source_problem, too_large};
use super::storage::{away_problem, blob_problem, catalog_problem, queue_problem};
use crate::http::body::BodyError;

/// What a caller reads of an upload that failed.
pub(in crate::http) fn ingest_problem(error: &IngestError) -> Problem {
    match error {
        IngestError::UnknownModule => Problem::new(ErrorCode::NotFound),
        IngestError::UnsupportedOrigin(_) => Problem::new(ErrorCode::UnsupportedSourceOrigin),
        IngestError::VersionMissing { format } => version_missing(*format),
        IngestError::Name(error) => Problem::field("package_url", error.caller_message()),
        IngestError::AlreadyExists => Problem::new(ErrorCode::PackageAlreadyExists),
        IngestError::InUse(pins) => protected(pins),
        IngestError::QuotaExceeded(exceeded) => quota_exceeded(exceeded),
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
        IngestError::Archive(error) => archive_problem(error),
        IngestError::Blob(error) => blob_problem(error),
        IngestError::Catalog(error) => catalog_problem(error),
        IngestError::Queue(error) => queue_problem(error),
        IngestError::JoinedFailed(failure) => joined_problem(failure),
        IngestError::GivenUp { lives } => Problem::with_detail(
            ErrorCode::UploadAbandoned,
            Text::made(
                format!("服务 {lives} 次在处理该上传时异常退出或失败，已放弃该上传"),
                format!("The service ended or failed {lives} times while it worked on the upload, and gave it up"),
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
        IngestError::Away(away) => away_problem(*away),
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

/// As many packages are looked into as may be.
fn too_many_listings(exhausted: Exhausted) -> Problem {
    used_up(exhausted, ErrorCode::TooManyRequests, |bound| {
        Text::made(
            format!("正在查看的包内文件列表已达到单个调用方的上限（{bound} 个），请稍后重试"),
            format!("You look into as many packages at a time as one caller may ({bound}), try again in a moment"),
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    use linkgate_archive::ArchiveError;
    use linkgate_contract::{CredentialName, NameTooLong, Sha256};
    use linkgate_store_core::ingest::ports::{
        BlobError, CatalogError, CredentialError, Phase, QueueError, SentCredential, SourceError, Unreachable,
    };
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
}
