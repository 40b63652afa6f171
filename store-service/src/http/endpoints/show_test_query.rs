//! Shows which query reached the store. Only for tests: they show by it that an endpoint is one row and one handler.

use serde_json::json;

use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) fn answer(request: &Request<'_>) -> Reply {
    reply::json(json!({"raw": request.head.query, "read": request.query()}).to_string())
}
