//! A browser's question whether a page of another site may call. The gate answers it from the table of endpoints: it carries
//! no credentials, and nothing of it reaches the store.

use std::rc::Rc;

use linkgate_contract::{Endpoint, NoEndpoint};

use super::decision::record_decision;
use super::verdict::{Denial, PREFLIGHT};
use crate::context::Context;
use crate::head::{Head, HeaderField};
use crate::policy::Stage;
use crate::record::Record;
use crate::reply::Reply;

/// Whether a request can be a preflight.
pub(super) fn may_be_one(head: &Head<'_>) -> bool {
    head.first(HeaderField::Method) == Some(b"OPTIONS")
}

/// The answer to a preflight of an origin that is allowed. Any other request, a preflight of another origin too, is judged as
/// it comes.
#[cold]
pub(super) fn answer(context: &Context, head: &Head<'_>) -> Option<Denial> {
    let (origin, target) = (head.origin()?, head.text(HeaderField::Path)?);
    head.first(HeaderField::RequestedMethod)?;
    let policy = &context.policy;
    let is_too_large = target.len() > policy.uri_bytes;
    let is_restricted = policy.client_ips.judge(head.client_ip).is_some_and(|denied| !denied.report_only);
    if is_too_large || is_restricted {
        return None;
    }
    let known = |stage: &'_ Rc<Stage>| match Endpoint::find_below("OPTIONS", target, &stage.prefixes) {
        Err(NoEndpoint::WrongMethod { allowed }) => Some((Rc::clone(stage), allowed)),
        _ => None,
    };
    let (stage, methods) = policy.stages.iter().find_map(known)?;
    let answer = stage.cors.as_ref()?.preflight_headers(origin, &methods)?;
    let mut record = Record { stage: stage.name.clone(), ..Record::default() };
    record_decision(&context.worker.metrics, PREFLIGHT, &mut record);
    Some(Denial { reply: Reply::preflight(answer, head.request_id()), record })
}
