//! Downloads of the store, from a source that answers as `src/source.rs` says.
//!
//! Holds: never more bytes than the limit or than the caller named; what is taken for a whole file is one: the bytes of one
//! reply, or those of several that by their heads, read here a second time and by the RFC's rules, prove to be the rest of the
//! same version at the same place; requests are few, go to the one host that is allowed, and tell nothing of the caller.

use crate::source::{Downloaded, Reply, Script, download, origin};
use linkgate_fetch::SourceError;

/// The file may be asked for so often, and each time led on so often.
const MOST_REQUESTS: usize = 4 * 6;

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let script = Script::read(data);
    let done = download(&script);
    check_requests(&script, &done);
    match &done.end {
        Ok(()) => check_whole(&script, &done),
        Err(SourceError::ForbiddenAddress { .. }) => panic!("the only host that is allowed is private by name"),
        Err(_) => {}
    }
}

/// A head, read again.
struct Head<'a> {
    status: &'a [u8],
    fields: Vec<(Vec<u8>, &'a [u8])>,
}

impl<'a> Head<'a> {
    fn of(reply: &Reply<'a>) -> Self {
        let (first, rest) = reply.head.split_first().expect("no reply without a status is believed");
        let status = first.split(|b| *b == b' ').nth(1).unwrap_or_default();
        let field = |line: &&'a [u8]| {
            let colon = line.iter().position(|b| *b == b':')?;
            Some((line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii()))
        };
        Self { status: status.trim_ascii(), fields: rest.iter().filter_map(field).collect() }
    }

    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.fields.iter().filter(|(n, _)| n == name.as_bytes()).map(|(_, value)| *value).collect()
    }

    /// The value of a field that stands once.
    fn only(&self, name: &str) -> Option<&'a [u8]> {
        let all = self.all(name);
        (all.len() == 1).then(|| all[0])
    }

    /// The length of the body, if it is sure.
    fn length(&self) -> Option<u64> {
        let said = self.all("content-length");
        let one = std::str::from_utf8(said.first()?).ok()?.split(',').next()?.trim().parse().ok()?;
        self.all("transfer-encoding").is_empty().then_some(one)
    }

    /// What tells this version of the file from others.
    fn validator(&self) -> Option<(&'static str, &'a [u8])> {
        if !self.all("etag").is_empty() {
            let tag = self.only("etag")?;
            let is_strong = tag.len() > 1 && tag.starts_with(b"\"") && tag.ends_with(b"\"");
            return is_strong.then_some(("etag", tag));
        }
        self.only("date")?;
        Some(("last-modified", self.only("last-modified")?))
    }

    /// Which bytes of how many.
    fn range(&self) -> Option<(u64, u64, u64)> {
        let text = std::str::from_utf8(self.only("content-range")?).ok()?.to_ascii_lowercase();
        let (range, total) = text.strip_prefix("bytes")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| text.trim().parse().ok();
        Some((number(first)?, number(last)?, number(total)?))
    }
}

/// The bytes of each reply that are part of the file, in order.
fn parts(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut parts: Vec<(usize, Vec<u8>)> = Vec::new();
    for &byte in bytes {
        let (from, _) = origin(byte);
        match parts.last_mut() {
            Some((reply, part)) if from == *reply => part.push(byte),
            _ => parts.push((from, vec![byte])),
        }
    }
    parts
}

fn check_whole(script: &Script<'_>, done: &Downloaded) {
    let size = done.bytes.len() as u64;
    assert!(script.size.is_none_or(|named| named == size), "{size} bytes where {:?} were named", script.size);
    let parts = parts(&done.bytes);
    let Some(((begun, first), rest)) = parts.split_first() else { return };
    let whole = Head::of(&script.replies[*begun]);
    assert_eq!(whole.status, b"200");
    check_not_encoded(&whole);
    check_order(first);
    if let Some(length) = whole.length() {
        assert_eq!(size, length, "another length than was announced");
    }
    let mut at = first.len() as u64;
    for (reply, part) in rest {
        check_order(part);
        let head = Head::of(&script.replies[*reply]);
        assert_eq!(head.status, b"206");
        check_not_encoded(&head);
        let (name, validator) = whole.validator().expect("a rest is asked for by a validator");
        assert_eq!(head.only(name), Some(validator), "the rest of another version");
        let (from, to, total) = head.range().expect("a rest says where it belongs");
        assert_eq!((from, Some(total)), (at, whole.length()), "the rest of another file, or of another place");
        assert_eq!(head.length(), Some(to + 1 - from), "a rest of another length than it says");
        let request = &done.requests[*reply];
        let asks = format!("range: bytes={at}-\r\nif-range: {}\r\n", String::from_utf8_lossy(validator));
        assert!(request.to_ascii_lowercase().contains(&asks.to_ascii_lowercase()), "{request:?} and {asks:?}");
        assert_eq!(target(request), target(&done.requests[*begun]), "the rest of another place");
        at += part.len() as u64;
    }
}

/// What IANA's registry of codings names, `identity` left out.
const CODINGS: &str = "aes128gcm br compress dcb dcz deflate exi gzip pack200-gzip x-compress x-gzip zstd";

/// What names no coding says nothing, in the whole and in a rest alike.
fn check_not_encoded(head: &Head<'_>) {
    for value in head.all("content-encoding") {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        let coding = value.split(',').find(|name| CODINGS.split(' ').any(|coding| coding == name.trim()));
        assert_eq!(coding, None, "a body that is encoded was taken");
    }
}

/// The bytes of a reply stand in the file as they were sent, from the first one on.
fn check_order(part: &[u8]) {
    let places = part.iter().map(|byte| origin(*byte).1);
    assert!(places.eq((0..16).cycle().take(part.len())));
}

fn target(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

fn check_requests(script: &Script<'_>, done: &Downloaded) {
    let leads_on = script.replies.iter().any(leads_on);
    assert!(done.requests.len() <= if leads_on { MOST_REQUESTS } else { 4 }, "{} requests", done.requests.len());
    for request in &done.requests {
        let (line, fields) = request.split_once("\r\n").unwrap();
        assert!(line.starts_with("GET /") && line.ends_with(" HTTP/1.1") && !line.contains(['#', '\\']), "{line:?}");
        assert_eq!(line.split(' ').count(), 3, "{line:?}");
        let mut names: Vec<&str> =
            fields.trim_end().split("\r\n").map(|field| field.split_once(": ").unwrap().0).collect();
        names.sort_unstable();
        let plain = ["accept", "accept-encoding", "host", "user-agent"];
        let rest = ["accept", "accept-encoding", "host", "if-range", "range", "user-agent"];
        assert!(names == plain || names == rest, "{names:?}");
        assert!(fields.contains("accept-encoding: identity\r\n"));
        assert!(fields.contains(&format!("host: {}\r\n", done.host)), "{fields:?}");
    }
}

/// Whether a reply may be a redirect.
fn leads_on(reply: &Reply<'_>) -> bool {
    !reply.head.is_empty() && !Head::of(reply).all("location").is_empty()
}
