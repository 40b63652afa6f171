//! What comes back, with which headers.

use std::collections::BTreeMap;

use linkgate_contract::{BodyKind, Endpoint, ErrorCode, GatewayErrorRow, Language, Operation, Problem};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::operations::Described;

/// A fault of the request.
#[derive(JsonSchema)]
#[schemars(rename = "Problem")]
#[expect(dead_code, reason = "only its schema is of use")]
struct ProblemBody {
    /// The code of the error.
    code: String,
    /// What is wrong, and what to do.
    detail: String,
    /// What is wrong with each field, where a field is wrong.
    #[schemars(skip_serializing_if = "BTreeMap::is_empty")]
    fields_detail: BTreeMap<String, Vec<String>>,
    /// What programs need to know of it, where there is more than the code.
    #[schemars(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// A fault of the caller or of the gateway.
#[derive(JsonSchema)]
#[schemars(rename = "GatewayProblem")]
#[expect(dead_code, reason = "only its schema is of use")]
struct GatewayProblemBody {
    /// The number of the error.
    code: u32,
    /// Its name.
    code_name: String,
    /// What is wrong, often with a reason.
    message: String,
    /// Always false.
    result: bool,
    /// Always null.
    data: Option<Value>,
    /// The message once more, unless the operator turned that off.
    #[schemars(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// A reply when all is well.
pub(crate) struct Success {
    status: u16,
    meaning: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    content: Map<String, Value>,
    leads_to: &'static [Operation],
}

impl Success {
    pub(crate) fn json<T: JsonSchema>(status: u16, meaning: &'static str, schemas: &mut SchemaGenerator) -> Self {
        Self::empty(status, meaning).or_media("application/json", schemas.subschema_for::<T>().to_value())
    }

    pub(crate) fn empty(status: u16, meaning: &'static str) -> Self {
        Self { status, meaning, headers: Vec::new(), content: Map::new(), leads_to: &[] }
    }

    pub(crate) fn or_media(mut self, media_type: &str, schema: Value) -> Self {
        self.content.insert(media_type.to_owned(), json!({"schema": schema}));
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.headers.push((name, meaning));
        self
    }

    /// Names operations on the package that the reply shows.
    pub(crate) fn leading_to(mut self, operations: &'static [Operation]) -> Self {
        self.leads_to = operations;
        self
    }

    fn describe(&self) -> Value {
        let text = |meaning: &str| json!({"description": meaning, "schema": {"type": "string"}});
        let own = self.headers.iter().map(|(name, meaning)| ((*name).to_owned(), text(meaning)));
        let mut reply = json!({"description": self.meaning, "headers": headers_with(own)});
        if !self.content.is_empty() {
            reply["content"] = self.content.clone().into();
        }
        if !self.leads_to.is_empty() {
            reply["links"] =
                self.leads_to.iter().map(|operation| (operation.id().to_owned(), link(*operation))).collect();
        }
        reply
    }
}

/// What is done next to the package that a reply shows.
fn link(operation: Operation) -> Value {
    let parameters = json!({
        "app_code": "$request.path.app_code",
        "module": "$request.path.module",
        "id": "$response.body#/id",
    });
    json!({"operationId": operation.id(), "parameters": parameters})
}

/// Headers of every reply.
const COMMON: &[(&str, &str)] = &[
    (
        "X-Bkapi-Request-ID",
        "The name of the request in the gateway's logs; where it was refused before it had one, that of its connection, like `connection-8`",
    ),
    (
        "X-Request-ID",
        "The caller's own name for the request, where the caller gave one and the store answered; else the gateway's",
    ),
];

/// Headers of errors, by the form that has them.
const OF_ERRORS: &[(&str, &str)] = &[
    ("Bkapi-Error-Code", "`code` of a `Problem`"),
    ("Bkapi-Error-Code-Num", "BlueKing's number of it, where BlueKing has one"),
    ("X-Bkapi-Error-Code", "`code` of a `GatewayProblem`"),
    ("X-Bkapi-Error-Message", "`message` of a `GatewayProblem`"),
    ("Retry-After", "Seconds after which the request may be sent again: of every 429, and of a 503 of the gateway"),
    ("WWW-Authenticate", "`X-Bkapi-JWT`, where the store does not believe its gateway"),
];

/// What any operation may be refused with by the store.
const ANYWHERE: &[ErrorCode] = &[
    ErrorCode::NotAuthenticated,
    ErrorCode::PermissionDenied,
    ErrorCode::NotFound,
    ErrorCode::TooManyRequests,
    ErrorCode::Internal,
    ErrorCode::Unavailable,
];

/// What the gateway refuses any operation with.
struct GatewayRefusal {
    error: GatewayErrorRow,
    meaning: &'static str,
    /// What a caller does about it.
    remedy: &'static str,
}

/// A row of the table below.
const fn refused(error: GatewayErrorRow, meaning: &'static str, remedy: &'static str) -> GatewayRefusal {
    GatewayRefusal { error, meaning, remedy }
}

const BY_THE_GATEWAY: &[GatewayRefusal] = &[
    refused(
        GatewayErrorRow::NOT_AUTHENTICATED,
        "Application or user could not be authenticated, `message` has the reason; or the request is no HTTP",
        "Look the [reason](reference/REASONS.md#authentication) up",
    ),
    refused(
        GatewayErrorRow::APP_NO_PERMISSION,
        "No grant lets this application do this for this application and module on behalf of this user",
        "Ask the operator for a grant of the operation's action",
    ),
    refused(
        GatewayErrorRow::IP_NOT_ALLOWED,
        "No requests from this address are allowed",
        "Call from another network, or ask the operator",
    ),
    refused(GatewayErrorRow::USER_NOT_ALLOWED, "This user may not call, whatever the grants say", "Ask the operator"),
    refused(
        GatewayErrorRow::CROSS_SITE_FORBIDDEN,
        "A browser sends it for a page of another site, and only a cookie says who the user is",
        "Send it from a page of the same host, or with credentials in `X-Bkapi-Authorization`",
    ),
    refused(
        GatewayErrorRow::CROSS_TENANT_FORBIDDEN,
        "Application, user, gateway and `X-Bk-Tenant-Id` do not belong to one tenant",
        "Call for a tenant that application and user belong to",
    ),
    refused(
        GatewayErrorRow::API_NOT_FOUND,
        "No such path, or none with this method",
        "Compare the path; mind the prefix and the slash at the end",
    ),
    refused(GatewayErrorRow::NOT_IN_TIME, "The request did not come in time", "Send it faster"),
    refused(GatewayErrorRow::BODY_TOO_LARGE, "The body is over the limit, or the operation takes none", "Send less"),
    refused(GatewayErrorRow::URI_TOO_LARGE, "Path and query are over the limit", "Shorten the query"),
    refused(GatewayErrorRow::HEADERS_TOO_LARGE, "The headers are too large or too many", "Send fewer headers"),
    refused(
        GatewayErrorRow::RATE_LIMITED,
        "More requests than the policy allows",
        "Wait for the seconds of `Retry-After`",
    ),
    refused(
        GatewayErrorRow::CONCURRENCY_LIMITED,
        "As many requests or uploads of this application are in progress as may be",
        "Wait for the seconds of `Retry-After`",
    ),
    refused(
        GatewayErrorRow::INTERNAL,
        "No service could say who calls, or the gateway failed",
        "Try again; if it stays, tell the operator the reason",
    ),
    refused(
        GatewayErrorRow::BAD_GATEWAY,
        "The store did not answer, or broke off",
        "Look whether the package was stored, then try again",
    ),
    refused(GatewayErrorRow::UNAVAILABLE, "No store, or too many requests for it", "Try again later"),
    refused(
        GatewayErrorRow::BACKEND_TIMEOUT,
        "The store did not answer in time",
        "Look whether the package was stored, then try again",
    ),
];

/// What an error means, and what to do about it.
pub(crate) struct Explained {
    /// BlueKing's numbers of it, where there are any.
    pub(crate) numbers: Vec<u32>,
    /// What it means.
    pub(crate) meaning: String,
    /// What a caller does about it.
    pub(crate) remedy: String,
}

/// Explains an error, by whichever it is refused.
pub(crate) fn explain(status: u16, name: &str) -> Explained {
    let mut explained = Explained { numbers: Vec::new(), meaning: String::new(), remedy: String::new() };
    let mut add = |number: Option<u32>, meaning: &str, remedy: &str| {
        explained.numbers.extend(number);
        for (text, more) in [(&mut explained.meaning, meaning), (&mut explained.remedy, remedy)] {
            if text != more {
                text.push_str(if text.is_empty() { "" } else { "; " });
                text.push_str(more);
            }
        }
    };
    let by_the_gateway =
        BY_THE_GATEWAY.iter().filter(|refusal| (refusal.error.status, refusal.error.name) == (status, name));
    for GatewayRefusal { error, meaning, remedy } in by_the_gateway {
        add(Some(error.code), meaning, remedy);
    }
    for code in ErrorCode::ALL.iter().filter(|code| (code.status(), code.name()) == (status, name)) {
        add(code.number(), &Problem::new(*code).detail(Language::English), remedy(*code));
    }
    explained
}

/// What a caller does about an error of the store.
fn remedy(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Validation => "Correct what `fields_detail` names",
        ErrorCode::UnsupportedSourceOrigin => "Choose another module; operators look at the file of modules",
        ErrorCode::PackageAlreadyExists => "Take another version, or `allow_overwrite`",
        ErrorCode::PackageDeleted => "Restore it, or upload it again",
        ErrorCode::PackagePurged => "Upload it again",
        ErrorCode::PackageInUse => "Take the pins of `data.pins` away if they are yours, or upload another version",
        ErrorCode::PlanChanged => "Nothing was deleted; ask for the plan again",
        ErrorCode::PackageQuotaExceeded => "Delete what is not needed, or ask the operator; `data` has the numbers",
        ErrorCode::PreconditionFailed => "Read the package again, and decide anew",
        ErrorCode::PackageTooLarge | ErrorCode::FileTooLarge => "Make it smaller; `detail` names the limit",
        ErrorCode::PackageChanged | ErrorCode::SignatureExpired => "Make another link",
        ErrorCode::RangeNotSatisfiable => "Ask for less; `Content-Range` has the size",
        ErrorCode::SignatureInvalid => "Check that the link is whole, or make another one",
        ErrorCode::UploadTimeout => "Use a faster connection, or ask the operator for more time",
        ErrorCode::ChecksumMismatch => "Check the link and the digest",
        ErrorCode::SizeMismatch => "Check the link and the size",
        ErrorCode::PackageFormatUnsupported => "Pack the source as one of the formats",
        ErrorCode::PackageBroken => "Upload the file to its source again, or pack it anew",
        ErrorCode::PackageMemberRefused => "Pack it without the member that `detail` names",
        ErrorCode::PackageLimitExceeded => "Make it smaller, or ask the operator; `detail` names the limit",
        ErrorCode::PackageDescriptionInvalid => "Fix `app_desc.yaml`; `detail` says where",
        ErrorCode::SourceUnreachable => "Check the link; `detail` has the [reason](reference/REASONS.md#sources)",
        ErrorCode::SourceTimeout => "Use a faster source, or ask the operator for more time",
        ErrorCode::ObjectStore | ErrorCode::Internal => {
            "Try again once; if it stays, tell the operator the `X-Bkapi-Request-ID`"
        }
        ErrorCode::InsufficientStorage => "Tell the operator, who frees space",
        ErrorCode::TooManyUploads => "Try again after `Retry-After`; `detail` says whether it is your own share",
        ErrorCode::TooManyRequests => {
            "Try again after `Retry-After`; upload asynchronously, and poll instead of watching"
        }
        ErrorCode::Unavailable => "Try again",
        ErrorCode::UploadCancelled => "Ask who cancelled it, or upload again",
        ErrorCode::UploadAbandoned => "Operators look at why the store ended; the same package may end it again",
        ErrorCode::IdempotencyKeyReused => "Take a new key for each request",
        ErrorCode::ParseError => "Fix the body; `detail` says where",
        ErrorCode::NotAuthenticated => "Tell the operator: keys, names or clocks of gate and store do not fit",
        ErrorCode::PermissionDenied => "Only behind another gateway: it must verify both and name the action",
        ErrorCode::NotFound => "Check application, module and `id`",
        ErrorCode::MethodNotAllowed => "Use a method of `Allow`",
        ErrorCode::BodyTooLarge => "Send less",
        ErrorCode::UnsupportedMediaType => "Send `application/json` or a form",
    }
}

/// The headers that `components` has.
pub(crate) fn common_headers() -> Value {
    let text = |(name, meaning): &(&str, &str)| {
        (component_name(name), json!({"description": meaning, "schema": {"type": "string"}}))
    };
    Map::from_iter(COMMON.iter().chain(OF_ERRORS).map(text)).into()
}

/// Adds what errors are, so that replies can name it.
pub(crate) fn add_error_schemas(schemas: &mut SchemaGenerator) {
    schemas.subschema_for::<ProblemBody>();
    schemas.subschema_for::<GatewayProblemBody>();
}

/// Refusals that are described once for all who refer to them: by status, the names of the errors.
#[derive(Default)]
pub(crate) struct Refusals(BTreeMap<u16, Vec<String>>);

impl Refusals {
    /// What stands for it in a reply to HEAD.
    pub(crate) const HEAD: &'static str = "-head";

    fn refer(&mut self, status: u16, names: String) -> Value {
        let known = self.0.entry(status).or_default();
        let at = known.iter().position(|known| *known == names).unwrap_or_else(|| {
            known.push(names);
            known.len() - 1
        });
        json!({"$ref": format!("#/components/responses/{}", Self::name(status, at))})
    }

    fn name(status: u16, at: usize) -> String {
        format!("Refused{status}-{}", at + 1)
    }

    /// All of them, for `components`.
    pub(crate) fn describe(&self) -> Value {
        let mut all = Map::new();
        for (status, known) in &self.0 {
            for (at, names) in known.iter().enumerate() {
                let (name, whole) = (Self::name(*status, at), refusal(names));
                let mut head = whole.clone();
                head.as_object_mut().map(|head| head.remove("content"));
                all.insert(format!("{name}{}", Self::HEAD), head);
                all.insert(name, whole);
            }
        }
        all.into()
    }
}

/// Every reply of an endpoint, by its status.
pub(crate) fn describe(endpoint: &Endpoint, described: &Described, refusals: &mut Refusals) -> Value {
    let mut replies: BTreeMap<u16, Value> =
        described.success.iter().map(|success| (success.status, success.describe())).collect();
    let mut names: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let of_bodies: &[ErrorCode] = match endpoint.body {
        BodyKind::None => &[],
        BodyKind::Json | BodyKind::Stream => &[ErrorCode::Validation, ErrorCode::ParseError, ErrorCode::BodyTooLarge],
    };
    for code in described.codes.iter().chain(of_bodies).chain(ANYWHERE) {
        names.entry(code.status()).or_default().push(code.name());
    }
    for GatewayRefusal { error: GatewayErrorRow { status, name, .. }, .. } in BY_THE_GATEWAY {
        names.entry(*status).or_default().push(name);
    }
    for (status, mut names) in names {
        names.sort_unstable();
        names.dedup();
        replies.entry(status).or_insert_with(|| refusals.refer(status, names.join(", ")));
    }
    replies.into_iter().map(|(status, reply)| (status.to_string(), reply)).collect::<Map<_, _>>().into()
}

fn refusal(names: &str) -> Value {
    let named = OF_ERRORS.iter().map(|(name, _)| ((*name).to_owned(), header_reference(name)));
    let forms = ["Problem", "GatewayProblem"].map(|name| json!({"$ref": format!("#/components/schemas/{name}")}));
    json!({
        "description": names,
        "headers": headers_with(named),
        "content": {"application/json": {"schema": {"anyOf": forms}}},
    })
}

fn headers_with(own: impl Iterator<Item = (String, Value)>) -> Value {
    let common = COMMON.iter().map(|(name, _)| ((*name).to_owned(), header_reference(name)));
    Map::from_iter(common.chain(own)).into()
}

fn header_reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{}", component_name(name))})
}

fn component_name(header: &str) -> String {
    header.replace('-', "")
}
