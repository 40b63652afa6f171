//! What is wrong with a request, in the store's form: `{"code", "detail"}`.
//!
//! The gate answers in this form too when the fault is the request's, so a caller meets one set of words.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Language, Text, headers};

/// Makes [`ErrorCode`] of its table, so that no list beside it can lag behind.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident => $name:literal, $status:literal, $number:expr, $zh:literal, $en:literal;)*) => {
        /// Every code of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $code,)*
        }

        impl ErrorCode {
            /// Every code, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            fn row(self) -> Row {
                match self {
                    $(Self::$code => Row {
                        name: $name,
                        status: $status,
                        number: $number,
                        text: Text::fixed($zh, $en),
                    },)*
                }
            }
        }
    };
}

// The one table of the API's errors: name, HTTP status, BlueKing's number, the standard sentence in both languages.
// `ERROR` is what BlueKing's framework itself refuses.
codes! {
    /// A field is wrong.
    Validation => "VALIDATION_ERROR", 400, None, "参数错误", "Invalid parameters";
    /// The module is not deployed from packages.
    UnsupportedSourceOrigin => "UNSUPPORTED_SOURCE_ORIGIN", 400, Some(4_312_008), "未支持的源码来源", "Unsupported source origin";
    /// Same version, no `allow_overwrite`.
    PackageAlreadyExists => "PACKAGE_ALREADY_EXISTS", 400, Some(4_312_009), "源码包已存在", "The source package already exists";
    /// The package was deleted; it may be restored.
    PackageDeleted => "PACKAGE_DELETED", 410, None, "源码包已被删除", "The package was deleted";
    /// The package was deleted, and its bytes are gone.
    PackagePurged => "PACKAGE_PURGED", 410, None, "源码包已被清除，无法恢复", "The package was purged, its bytes are gone";
    /// The package is pinned.
    PackageInUse => "PACKAGE_IN_USE", 409, None, "源码包正在被使用", "The package is in use";
    /// What would be deleted is not what its caller saw.
    PlanChanged => "PLAN_CHANGED", 409, None, "清理计划已发生变化，请重新获取后再试", "The plan has changed, ask for it again";
    /// A quota is used up.
    PackageQuotaExceeded => "PACKAGE_QUOTA_EXCEEDED", 400, None, "超出配额", "A quota is used up";
    /// The package is not what its caller saw.
    PreconditionFailed => "PRECONDITION_FAILED", 412, None, "源码包已发生变化，请重新读取后再试", "The package has changed, read it again";
    /// The source's bytes are over the limit.
    PackageTooLarge => "PACKAGE_TOO_LARGE", 400, None, "源码包过大", "The package is too large";
    /// The package was overwritten since the signed URL was made.
    PackageChanged => "PACKAGE_CHANGED", 410, None, "生成该下载地址后源码包已被覆盖，请重新生成下载地址", "The package was overwritten since this URL was made, make another one";
    /// The package has no byte of the range.
    RangeNotSatisfiable => "RANGE_NOT_SATISFIABLE", 416, None, "请求的范围超出源码包的大小", "The requested range lies beyond the package's end";
    /// The signed URL has ended.
    SignatureExpired => "SIGNATURE_EXPIRED", 403, None, "下载地址已过期，请重新生成下载地址", "The URL has expired, make another one";
    /// The signed URL was not made by the store, for this path or for this client.
    SignatureInvalid => "SIGNATURE_INVALID", 403, None, "下载地址的签名无效", "The URL's signature is not valid here";
    /// A file that its caller sends is over the limit.
    FileTooLarge => "PACKAGE_TOO_LARGE", 413, None, "源码包过大", "The package is too large";
    /// A file comes too slowly.
    UploadTimeout => "UPLOAD_TIMEOUT", 408, None, "上传的文件传输过慢", "The file comes too slowly";
    /// The source's bytes are not those that the caller named.
    ChecksumMismatch => "CHECKSUM_MISMATCH", 400, None, "源码包的 SHA-256 不一致", "The package has another SHA-256";
    /// The source's bytes are more or fewer than the caller named.
    SizeMismatch => "SIZE_MISMATCH", 400, None, "源码包的大小不一致", "The package has another size";
    /// The file is no archive that is read here.
    PackageFormatUnsupported => "PACKAGE_FORMAT_UNSUPPORTED", 400, None, "不支持的源码包格式", "The package's format is not supported";
    /// The archive is damaged, cut, or made to be read in two ways.
    PackageBroken => "PACKAGE_BROKEN", 400, None, "源码包已损坏", "The package is broken";
    /// The package has a member that no package should have.
    PackageMemberRefused => "PACKAGE_MEMBER_REFUSED", 400, None, "源码包中有不允许的文件", "The package has a member that is not allowed";
    /// The package has too much of something.
    PackageLimitExceeded => "PACKAGE_LIMIT_EXCEEDED", 400, None, "源码包超出限制", "The package is over a limit";
    /// The package's description cannot be used.
    PackageDescriptionInvalid => "PACKAGE_DESCRIPTION_INVALID", 400, None, "应用描述文件无效", "The package's app_desc.yaml cannot be used";
    /// The source refused, broke off or could not be reached.
    SourceUnreachable => "SOURCE_UNREACHABLE", 502, None, "无法读取源码包下载地址", "The package_url could not be read";
    /// The source was too slow.
    SourceTimeout => "SOURCE_TIMEOUT", 504, None, "读取源码包下载地址超时", "Reading the package_url timed out";
    /// Blob storage failed.
    ObjectStore => "OBJECT_STORE_EXCEPTION", 500, Some(4_312_011), "对象存储异常", "The object storage failed";
    /// No space left on the disk.
    InsufficientStorage => "INSUFFICIENT_STORAGE", 507, None, "存储空间不足", "Not enough storage";
    /// As many uploads are running as the store takes at once.
    TooManyUploads => "TOO_MANY_UPLOADS", 429, None, "正在进行的上传过多，请稍后重试", "Too many uploads are running, try again in a moment";
    /// As many requests are held open as may be.
    TooManyRequests => "TOO_MANY_REQUESTS", 429, None, "正在等待的请求过多，请稍后重试", "Too many requests are waiting, try again in a moment";
    /// The store is shutting down.
    Unavailable => "SERVICE_UNAVAILABLE", 503, None, "服务正在停止，请重试", "The service is stopping, try again";
    /// The caller, or another one who may, cancelled the upload.
    UploadCancelled => "UPLOAD_CANCELLED", 409, None, "上传已被取消", "The upload was cancelled";
    /// The store ended or failed too often while it worked on the upload.
    UploadAbandoned => "UPLOAD_ABANDONED", 500, None, "服务多次在处理该上传时异常退出或失败，已放弃该上传", "The service ended or failed several times while it worked on the upload, and gave it up";
    /// The key stands for another request.
    IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED", 422, None, "该 Idempotency-Key 已用于另一个请求", "The Idempotency-Key was used for another request";
    /// A fault of ours.
    Internal => "ERROR", 500, None, "服务内部错误", "Internal server error";
    /// The body is not JSON.
    ParseError => "ERROR", 400, None, "JSON 解析错误", "JSON parse error";
    /// The gate's token is missing, broken or expired.
    NotAuthenticated => "ERROR", 401, None, "身份认证信息未提供或无效", "Authentication is missing or invalid";
    /// The gate vouches for the caller, but not for an application and a user.
    PermissionDenied => "ERROR", 403, None, "没有执行该操作的权限", "Permission denied";
    /// No such route, or no such module.
    NotFound => "ERROR", 404, None, "未找到", "Not found";
    /// The route knows other methods.
    MethodNotAllowed => "ERROR", 405, None, "不允许的请求方法", "Method not allowed";
    /// The body is over the limit.
    BodyTooLarge => "ERROR", 413, None, "请求体过大", "The request body is too large";
    /// Not `application/json`.
    UnsupportedMediaType => "ERROR", 415, None, "不支持的请求媒体类型，请使用 application/json", "Unsupported media type, use application/json";
}

struct Row {
    name: &'static str,
    status: u16,
    number: Option<u32>,
    text: Text,
}

impl ErrorCode {
    /// The name in `code`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The number in `bkapi-error-code-num`, where BlueKing gave one.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        self.row().number
    }
}

/// A refusal in the store's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: ErrorCode,
    detail: Text,
    /// Sorted, so that the alphabetically first field is the one that `detail` names.
    fields: BTreeMap<&'static str, Vec<Text>>,
    /// What programs do something with; seldom there, and refusals are passed on by value.
    data: Option<Box<Value>>,
}

impl Problem {
    /// The key of messages that belong to no single field; `detail` leaves it out.
    pub const NO_FIELD: &'static str = "non_field_errors";

    /// A refusal with its code's standard sentence.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self::with_detail(code, code.row().text)
    }

    /// A refusal with a sentence of its own.
    #[must_use]
    pub fn with_detail(code: ErrorCode, detail: Text) -> Self {
        Self { code, detail, fields: BTreeMap::new(), data: None }
    }

    /// One wrong field.
    #[must_use]
    pub fn field(name: &'static str, message: Text) -> Self {
        Self::fields(BTreeMap::from([(name, vec![message])]))
    }

    /// Several wrong fields, each with at least one message.
    #[must_use]
    pub fn fields(fields: BTreeMap<&'static str, Vec<Text>>) -> Self {
        Self { fields, ..Self::new(ErrorCode::Validation) }
    }

    /// The same with what programs do something with, as the body's `data`.
    #[must_use]
    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(Box::new(data)), ..self }
    }

    /// What programs do something with, if there is anything.
    #[must_use]
    pub fn data(&self) -> Option<&Value> {
        self.data.as_deref()
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence, as the caller reads it.
    #[must_use]
    pub fn detail(&self, language: Language) -> String {
        let first = self.fields.iter().find_map(|(name, messages)| Some((name, messages.first()?)));
        match first {
            Some((&Self::NO_FIELD, message)) => message.in_language(language).to_owned(),
            Some((name, message)) => format!("{name}: {}", message.in_language(language)),
            None => self.detail.in_language(language).to_owned(),
        }
    }

    /// The whole body.
    #[must_use]
    pub fn body(&self, language: Language) -> String {
        let mut body = json!({"code": self.code.name(), "detail": self.detail(language)});
        if let (Some(object), false) = (body.as_object_mut(), self.fields.is_empty()) {
            let fields = self.fields.iter().map(|(name, messages)| {
                let messages: Vec<Value> = messages.iter().map(|m| m.in_language(language).into()).collect();
                ((*name).to_owned(), Value::from(messages))
            });
            object.insert("fields_detail".into(), Value::Object(fields.collect::<Map<_, _>>()));
        }
        if let (Some(object), Some(data)) = (body.as_object_mut(), self.data()) {
            object.insert("data".into(), data.clone());
        }
        body.to_string()
    }

    /// The headers beside the body.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut list = vec![
            (headers::CONTENT_TYPE, "application/json".to_owned()),
            (headers::API_ERROR_CODE, self.code.name().to_owned()),
        ];
        if let Some(number) = self.code.number() {
            list.push((headers::API_ERROR_NUMBER, number.to_string()));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_the_api_document_shows() {
        let problem = Problem::new(ErrorCode::UnsupportedSourceOrigin);
        assert_eq!(
            problem.body(Language::Chinese),
            r#"{"code":"UNSUPPORTED_SOURCE_ORIGIN","detail":"未支持的源码来源"}"#
        );
        assert_eq!(
            problem.headers(),
            [
                ("content-type", "application/json".to_owned()),
                ("bkapi-error-code", "UNSUPPORTED_SOURCE_ORIGIN".to_owned()),
                ("bkapi-error-code-num", "4312008".to_owned()),
            ]
        );
    }

    #[test]
    fn detail_names_the_first_field_and_fields_detail_all() {
        let message = || vec![Text::fixed("坏", "bad")];
        let problem = Problem::fields(BTreeMap::from([("version", message()), ("package_url", message())]));
        assert_eq!(
            problem.body(Language::English),
            r#"{"code":"VALIDATION_ERROR","detail":"package_url: bad","fields_detail":{"package_url":["bad"],"version":["bad"]}}"#
        );
    }

    #[test]
    fn data_stands_beside_the_sentence() {
        let problem = Problem::new(ErrorCode::PackageInUse).with_data(json!({"pins": []}));
        assert_eq!(
            problem.body(Language::English),
            r#"{"code":"PACKAGE_IN_USE","data":{"pins":[]},"detail":"The package is in use"}"#
        );
    }

    #[test]
    fn every_code_is_an_error_and_names_are_in_the_api_style() {
        for &code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(code.name().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{code:?}");
        }
    }
}
