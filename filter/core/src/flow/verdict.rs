//! What a request comes to.

use crate::limit::Lease;
use crate::record::Record;
use crate::reply::Reply;

/// The decision of a request that is sent on.
pub(super) const FORWARDED: &str = "OK";
/// That of a preflight that is answered.
pub(super) const PREFLIGHT: &str = "PREFLIGHT";

/// That of a bare prefix of the console, whose first page lies elsewhere.
pub(super) const REDIRECT: &str = "REDIRECT";

/// How the request is changed before it goes on. It holds the token, so nothing prints it.
pub struct Forward {
    /// Headers to drop first, every copy.
    pub remove: Vec<String>,
    /// Headers to set then, pseudo-headers among them.
    pub set: Vec<(&'static str, String)>,
    /// Headers that the reply is to have, whoever makes it.
    pub reply_headers: Vec<(&'static str, String)>,
    /// A body to send in the place of the caller's.
    pub body: Option<Vec<u8>>,
    /// For the access log.
    pub record: Record,
    /// To be released with [`crate::Gate::release_lease`] when the request is over.
    pub lease: Option<Lease>,
    /// Whether the caller sends the body while the upload goes on, so that it ends when its caller goes away.
    pub ends_with_caller: bool,
}

/// A request that ends here.
#[derive(Debug)]
pub struct Denial {
    /// The answer.
    pub reply: Reply,
    /// For the access log.
    pub record: Record,
}
