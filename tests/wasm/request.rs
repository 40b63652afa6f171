//! A request that starts good, and its way through a VM, callback by callback.
//!
//! Promises: whatever a test sends, a request that goes on carries no credential and a token that verifies, a refused
//! one stays refused and is answered once, and no secret shows in a reply or in the log.

use serde_json::Value;

use crate::fixture;
use crate::vm::{Action, ROOT, Vm};
use crate::world::{Pairs, Reply, Stream};

/// What the caller asks for.
pub const PATH: &str = "/stag/bkapps/applications/app_code/modules/default/source_package/link/";
/// What the store is asked for.
pub const CANONICAL: &str = "/bkapps/applications/app_code/modules/default/source_package/link/";
/// The good caller's word.
pub const CREDENTIALS: &str =
    r#"{"bk_app_code": "apigw-api-test", "bk_app_secret": "s3cret-of-app", "bk_ticket": "t1cket-of-admin"}"#;
/// The good body.
pub const BODY: &str = r#"{"package_url": "https://example.com/generic/example.tar.gz", "version": "0.0.5"}"#;

/// By what the host knows that a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The headers: there is no body.
    Headers,
    /// The last part of the body.
    Body,
    /// Trailers behind the body.
    Trailers,
}

/// A request; a test changes one thing.
#[derive(Clone)]
pub struct Request {
    root: u32,
    headers: Pairs,
    raw_map: Option<Vec<u8>>,
    chunks: Vec<Vec<u8>>,
    end: End,
}

impl Request {
    /// Accepted under [`fixture::policy`].
    pub fn good() -> Self {
        let headers = [
            (":method", "POST"),
            (":path", PATH),
            (":authority", "gateway"),
            ("content-type", "application/json"),
            ("x-bkapi-authorization", CREDENTIALS),
            ("x-request-id", "id-1"),
        ];
        let bytes = |text: &str| text.as_bytes().to_vec();
        let headers = headers.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
        Self { root: ROOT, headers, raw_map: None, chunks: vec![bytes(BODY)], end: End::Body }
    }

    /// Under another root.
    pub fn under(mut self, root: u32) -> Self {
        self.root = root;
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name.as_bytes());
        self
    }

    /// With one more header, behind those that are there.
    pub fn plus(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With another value of a header.
    pub fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).plus(name, value)
    }

    /// With no header at all.
    pub fn without_headers(mut self) -> Self {
        self.headers.clear();
        self
    }

    /// With these bytes where the host should hand over the headers.
    pub fn raw_map(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.raw_map = Some(raw.into());
        self
    }

    /// With a body in these parts.
    pub fn chunks<C: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.chunks = chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect();
        self
    }

    /// With another body, in one part.
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        self.chunks([body])
    }

    /// With another end.
    pub fn ending_with(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// The headers as they are sent.
    pub fn headers(&self) -> &Pairs {
        &self.headers
    }
}

/// What became of a request.
pub struct Seen {
    /// The answers to its callbacks, in order.
    pub actions: Vec<Action>,
    /// What the host holds at its end.
    pub stream: Stream,
}

impl Seen {
    /// The headers with which it went on, in the host's order.
    #[track_caller]
    pub fn forwarded(&self) -> Vec<(&str, &str)> {
        assert_eq!(self.stream.replies, [], "it is refused");
        assert_eq!(self.actions.last(), Some(&Action::Continue), "it is held: {:?}", self.actions);
        texts(&self.stream.request_headers)
    }

    /// The value of a header with which it went on.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.forwarded().into_iter().filter(|(n, _)| *n == name).collect();
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0].1
    }

    /// The refusal, whose form is that of every refusal.
    #[track_caller]
    pub fn refused(&self) -> &Reply {
        assert_eq!(self.stream.replies.len(), 1, "{:?}: {:?}", self.actions, self.stream.replies);
        let reply = &self.stream.replies[0];
        // By one of these the proxy knows it for the gate's own.
        let code = reply.header("x-bkapi-error-code").or(reply.header("bkapi-error-code"));
        assert!(code.is_some() && reply.details.is_empty(), "{reply:?}");
        let decision = self.stream.noted("decision");
        assert!(!decision.is_empty() && decision != "OK", "the access log is told: {decision}");
        let is_gateways = reply.header("x-bkapi-error-code").is_some();
        let content_type = if is_gateways { "application/json; charset=utf-8" } else { "application/json" };
        assert_eq!((reply.grpc_status, reply.header("content-type")), (-1, Some(content_type)), "{reply:?}");
        assert!(serde_json::from_str::<Value>(&reply.body).is_ok_and(|body| body["code"] != Value::Null), "{reply:?}");
        assert!(reply.headers.iter().all(|(_, value)| value.bytes().all(|b| b >= b' ')), "{reply:?}");
        reply
    }

    /// The refusal's status.
    #[track_caller]
    pub fn status(&self) -> i32 {
        self.refused().status
    }

    /// Whether nothing of it goes on.
    pub fn stays_here(&self) -> bool {
        self.actions.iter().all(|action| *action == Action::Pause)
    }
}

/// Headers as text.
#[track_caller]
pub fn texts(pairs: &Pairs) -> Vec<(&str, &str)> {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    pairs.iter().map(|(name, value)| (text(name.as_slice()), text(value.as_slice()))).collect()
}

impl Vm {
    /// Sends a request from its head to its end, also past a refusal, as a host that is slow to stop would.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> Seen {
        let context = self.open(request);
        let mut actions = vec![self.head(context, request.end == End::Headers)];
        if request.end != End::Headers {
            for (n, chunk) in request.chunks.iter().enumerate() {
                let last = request.end == End::Body && n + 1 == request.chunks.len();
                actions.push(self.chunk(context, chunk, last));
            }
        }
        if request.end == End::Trailers {
            actions.push(self.trailers(context));
        }
        let stream = self.close(context);
        let answered = !stream.replies.is_empty();
        assert!(!answered || actions.iter().all(|a| *a == Action::Pause), "refused, but {actions:?}");
        Seen { actions, stream }
    }

    /// A new context for a request of which nothing was shown yet.
    pub fn open(&mut self, request: &Request) -> u32 {
        let context = self.create_context(request.root);
        let stream =
            Stream { request_headers: request.headers.clone(), raw_map: request.raw_map.clone(), ..Stream::default() };
        self.world().streams.insert(context, stream);
        context
    }

    /// Shows the head.
    #[track_caller]
    pub fn head(&mut self, context: u32, end_of_stream: bool) -> Action {
        let count = u32::try_from(self.stream(context).request_headers.len()).unwrap();
        let action = self.ask("proxy_on_request_headers", context, (context, count, u32::from(end_of_stream)));
        self.check(context, action)
    }

    /// Adds to the body that is held, and shows all of it.
    #[track_caller]
    pub fn chunk(&mut self, context: u32, bytes: &[u8], end_of_stream: bool) -> Action {
        let body = &mut self.stream(context).body;
        body.extend(bytes);
        let size = u32::try_from(body.len()).unwrap();
        let action = self.ask("proxy_on_request_body", context, (context, size, u32::from(end_of_stream)));
        self.check(context, action)
    }

    /// Shows trailers.
    #[track_caller]
    pub fn trailers(&mut self, context: u32) -> Action {
        let action = self.ask("proxy_on_request_trailers", context, (context, 1_u32));
        self.check(context, action)
    }

    /// Ends the context of a request that was answered.
    #[track_caller]
    pub fn close(&mut self, context: u32) -> Stream {
        let path = ["response", "code"];
        self.world().set_property(&path, 200_i64.to_le_bytes());
        let stream = self.stream(context).clone();
        self.delete(context);
        self.world().unset_property(&path);
        stream
    }

    /// What the host holds of a request.
    pub fn stream(&mut self, context: u32) -> &mut Stream {
        self.world().streams.get_mut(&context).expect("the request is open")
    }

    /// What must hold after every callback of every request.
    #[track_caller]
    fn check(&mut self, context: u32, action: Action) -> Action {
        let stream = self.stream(context);
        assert!(stream.replies.len() <= 1, "answered twice: {:?}", stream.replies);
        assert!(action == Action::Pause || stream.replies.is_empty(), "answered, and sent on");
        if action == Action::Continue {
            assert_clean(&stream.request_headers);
        }
        let replies = format!("{:?}", stream.replies);
        let shown = replies + &self.world().log_text();
        let leak = fixture::SECRETS.iter().find(|secret| shown.contains(**secret));
        assert_eq!(leak, None, "{shown}");
        assert_eq!(self.world().needless, Vec::<String>::new(), "a request needs no such call");
        action
    }
}

/// A request that goes on is the gate's word: none of the caller's credentials, nothing in our name but our own.
#[track_caller]
pub fn assert_clean(headers: &Pairs) {
    for (name, value) in headers {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let credential = matches!(name.as_str(), "authorization" | "cookie" | "proxy-authorization" | "x-bk-tenant-id");
        let ours = matches!(name.as_str(), "x-bkapi-jwt" | "x-bkapi-request-id");
        let forged = name.replace('_', "-").starts_with("x-bkapi-") && !ours;
        assert!(!credential && !forged, "sent on with {name}");
        let value = String::from_utf8_lossy(value);
        assert!(fixture::SECRETS.iter().all(|secret| !value.contains(secret)), "sent on with a secret in {name}");
    }
    let tokens: Vec<_> = headers.iter().filter(|(name, _)| name == b"x-bkapi-jwt").collect();
    let [(_, token)] = tokens[..] else { panic!("one token, not {}", tokens.len()) };
    fixture::read_token(std::str::from_utf8(token).unwrap());
}
