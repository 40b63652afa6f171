//! What callers read where the database or the blobs fail.

use linkgate_contract::{ErrorCode, Problem, Text};
use linkgate_store_core::download::DownloadError;
use linkgate_store_core::ingest::ports::{BlobError, CatalogError, QueueError};
use linkgate_store_core::ingest::{Away, NotReady, chain};
use tracing::error;

/// What a caller reads where packages could not be looked up.
pub(in crate::http) fn read_problem(error: &CatalogError) -> Problem {
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
pub(super) fn catalog_problem(error: &CatalogError) -> Problem {
    match error {
        CatalogError::Unavailable(_) => database_away(),
        _ => Problem::new(ErrorCode::Internal),
    }
}

/// The same of the queue in it.
pub(super) fn queue_problem(error: &QueueError) -> Problem {
    match error {
        QueueError::Unavailable(_) => database_away(),
        _ => Problem::new(ErrorCode::Internal),
    }
}

/// What a caller reads whose upload is not begun.
pub(super) fn away_problem(away: Away) -> Problem {
    match away {
        Away::Blobs => storage_away(),
        Away::Catalog => database_away(),
    }
}

fn storage_away() -> Problem {
    Problem::with_detail(
        ErrorCode::Unavailable,
        Text::fixed(
            "对象存储暂时不可用，请稍后重试",
            "The object storage cannot be used at the moment, try again later",
        ),
    )
}

fn database_away() -> Problem {
    Problem::with_detail(
        ErrorCode::Unavailable,
        Text::fixed("数据库暂时不可用，请稍后重试", "The database cannot be used at the moment, try again later"),
    )
}

/// What a caller reads of a blob that could not be written, read or found.
pub(super) fn blob_problem(error: &BlobError) -> Problem {
    match error {
        BlobError::NoSpace(_) => Problem::new(ErrorCode::InsufficientStorage),
        BlobError::Unavailable(_) => storage_away(),
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
pub(in crate::http) fn download_problem(error: &DownloadError) -> Problem {
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

/// Names what fails, not how: probes are not authenticated.
pub(in crate::http) fn not_ready(failed: &[NotReady]) -> Problem {
    let name = |f: &NotReady| match f {
        NotReady::Blobs(_) => ("源码包存储", "the blob storage"),
        NotReady::Catalog(_) => ("数据库", "the database"),
    };
    let (zh, en): (Vec<_>, Vec<_>) = failed.iter().map(name).unzip();
    let text = Text::made(format!("无法写入：{}", zh.join("、")), format!("Cannot be written: {}", en.join(", ")));
    Problem::with_detail(ErrorCode::Unavailable, text)
}
