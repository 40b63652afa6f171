//! What a request shows so that it is let in.

use linkgate_contract::{Operation, SIGNED_URL_PARAMETER};
use serde_json::{Value, json};

/// Credentials of the platform, in the gateway's header.
const BKAPI: &str = "bkapi";
/// What a link carries that was made for others.
const SIGNED_URL: &str = "signed_url";

/// Every kind of credentials.
pub(crate) fn schemes() -> Value {
    json!({
        BKAPI: {
            "type": "apiKey",
            "in": "header",
            "name": "X-Bkapi-Authorization",
            "description": "A JSON object with the credentials of the calling application, and of the user where one is needed: `bk_app_code`, `bk_app_secret`, `bk_token` or `bk_ticket`, `access_token`",
        },
        SIGNED_URL: {
            "type": "apiKey",
            "in": "query",
            "name": SIGNED_URL_PARAMETER,
            "description": "What `create_source_package_download_url` put into its link. It lets whoever has it download that version of that package, until it ends; no other credential counts beside it",
        },
    })
}

/// What an operation needs that says nothing else.
pub(crate) fn usual() -> Value {
    json!([{BKAPI: []}])
}

/// What it needs if that is something else: any one of the list.
pub(crate) fn of(operation: Operation) -> Option<Value> {
    (operation == Operation::DownloadSourcePackage).then(|| json!([{BKAPI: []}, {SIGNED_URL: []}]))
}
