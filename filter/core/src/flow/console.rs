//! What of the console everybody may see: where its first page is, and what its pages are drawn with.

use linkgate_contract::{FileName, headers};

use super::decision::record_decision;
use super::reader::{OnConsole, find_console, is_safe};
use super::request::{forwarded_id, names_to_remove};
use super::verdict::{Denial, FORWARDED, Forward, REDIRECT};
use crate::context::Context;
use crate::head::{Head, HeaderField};
use crate::record::Record;
use crate::reply::Reply;
use crate::rules::cors::ReplyHeaders;

/// The first page, from the prefix.
const FIRST_PAGE: &str = "bkapps/applications/";
/// Where style sheets and scripts are, from the prefix.
const ASSETS: &str = "/assets/";

/// A request that needs nobody to be known: sent on, or to the first page.
pub(super) fn judge_for_everybody(context: &Context, head: &Head<'_>) -> Option<Result<Forward, Denial>> {
    let asked = find_console(context, head)?;
    let is_restricted = context.policy.client_ips.judge(head.client_ip).is_some_and(|denied| !denied.report_only);
    let is_over = head.first(HeaderField::Path).is_some_and(|target| target.len() > context.policy.uri_bytes);
    if !is_safe(head) || is_restricted || is_over {
        return None;
    }
    let record = Record { stage: asked.stage.name.clone(), ..Record::default() };
    let asset = asked.below.strip_prefix(ASSETS).filter(|name| head.end_of_stream && FileName::new(*name).is_ok());
    match (asset, find_redirect(&asked)) {
        (Some(name), _) => Some(Ok(forward_asset(context, head, name, record))),
        (None, Some((status, location))) => Some(Err(redirect(context, head, status, &location, record))),
        (None, None) => None,
    }
}

/// From the bare prefix, with a slash behind it or without, to the first page. Relative, so that it is right behind a proxy that
/// adds to the path.
fn find_redirect(asked: &OnConsole<'_>) -> Option<(u16, String)> {
    match asked.below {
        "" => Some((308, format!("{}/", asked.path.rsplit('/').next()?))),
        "/" => Some((302, FIRST_PAGE.to_owned())),
        _ => None,
    }
}

fn redirect(context: &Context, head: &Head<'_>, status: u16, location: &str, mut record: Record) -> Denial {
    record_decision(&context.worker.metrics, REDIRECT, &mut record);
    Denial { reply: Reply::redirect(status, location, head.request_id()), record }
}

/// Sends a request for a style sheet or a script on, without a token: the store has nothing there that is not for everybody.
fn forward_asset(context: &Context, head: &Head<'_>, name: &str, mut record: Record) -> Forward {
    record_decision(&context.worker.metrics, FORWARDED, &mut record);
    let mut set =
        vec![(":path", ["/console", ASSETS, name].concat()), (headers::REQUEST_ID, head.request_id().to_owned())];
    set.extend(forwarded_id(head).map(|id| (headers::X_REQUEST_ID, id)));
    let (remove, reply_headers) = (names_to_remove(head, false), ReplyHeaders::new());
    Forward { remove, set, reply_headers, body: None, record, lease: None, ends_with_caller: false }
}
