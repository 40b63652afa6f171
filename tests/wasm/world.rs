//! What the host holds: streams, log, clock, randomness, and the faults that a test orders.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::outside::Outside;

/// Names and values as bytes: HTTP admits octets that are not UTF-8.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Statuses of the ABI that the host gives of its own accord.
pub const OK: i32 = 0;
pub const NOT_FOUND: i32 = 1;
pub const BAD_ARGUMENT: i32 = 2;
pub const EMPTY: i32 = 7;
pub const CAS_MISMATCH: i32 = 8;
pub const UNIMPLEMENTED: i32 = 12;

/// An answer that the filter sent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: i32,
    pub details: String,
    pub body: String,
    pub headers: Vec<(String, String)>,
    pub grpc_status: i32,
}

impl Reply {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// One request as the host holds it.
#[derive(Clone, Default)]
pub struct Stream {
    pub request_headers: Pairs,
    /// Handed over in place of the serialised headers, for maps that are broken.
    pub raw_map: Option<Vec<u8>>,
    /// What is held of the body so far.
    pub body: Vec<u8>,
    pub replies: Vec<Reply>,
    /// Whether the filter sent it on outside of its callbacks; the request's headers are out of reach then.
    pub resumed: bool,
    /// What the filter left with it, by path.
    pub properties: BTreeMap<String, Vec<u8>>,
}

impl Stream {
    /// A field of what the filter left for the access log; empty if it said nothing.
    pub fn noted(&self, field: &str) -> String {
        let Some(record) = self.properties.get("linkgate") else { return String::new() };
        let record: Value = serde_json::from_slice(record).unwrap();
        record[field].as_str().unwrap_or_default().to_owned()
    }
}

/// One call that the filter makes.
pub struct Call<'a> {
    pub name: &'a str,
    /// How many were made before it since [`World::fail`].
    pub nth: usize,
}

/// Decides which calls fail, and with which status.
pub type Fault = Box<dyn Fn(&Call<'_>) -> Option<i32>>;

/// The host's side of one VM.
#[derive(Default)]
pub struct World {
    /// The WASI environment, `NAME=value`.
    pub environ: Vec<String>,
    pub configuration: Vec<u8>,
    pub streams: BTreeMap<u32, Stream>,
    /// All contexts with their roots; 0 is the root of roots.
    pub contexts: BTreeMap<u32, u32>,
    /// The context whose callback runs.
    pub context: u32,
    /// The context that the filter's calls are about, if it chose another.
    pub effective: Option<u32>,
    /// A callback that the host makes while it takes a reply, as none should.
    pub reenter: Option<&'static str>,
    /// Level and message, in order.
    pub log: Vec<(i32, String)>,
    /// Seconds since the epoch.
    pub now_s: u64,
    /// And milliseconds beyond.
    pub now_ms: u64,
    /// Every call of the ABI by name, in order, since [`World::fail`].
    pub made: Vec<&'static str>,
    /// Calls that a request has no need of, ever.
    pub needless: Vec<String>,
    /// What there is beside streams.
    pub outside: Outside,
    fault: Option<Fault>,
    random: u64,
}

impl World {
    /// With this environment and clock, and nothing else yet.
    pub fn new(environ: Vec<String>, now_s: u64) -> Self {
        Self { environ, now_s, ..Self::default() }
    }

    /// From here on these calls fail.
    pub fn fail(&mut self, fault: impl Fn(&Call<'_>) -> Option<i32> + 'static) {
        self.made.clear();
        self.fault = Some(Box::new(fault));
    }

    /// Notes a call; `Some` is the status to give without doing it.
    pub fn called(&mut self, name: &'static str) -> Option<i32> {
        let call = Call { name, nth: self.made.len() };
        let status = self.fault.as_ref().and_then(|fault| fault(&call));
        self.made.push(name);
        status
    }

    /// The context that a call is about. One that is gone meanwhile does not count.
    pub fn speaker(&self) -> u32 {
        self.effective.filter(|id| self.contexts.contains_key(id)).unwrap_or(self.context)
    }

    /// The root of that context, or itself.
    pub fn root(&self) -> u32 {
        let speaker = self.speaker();
        self.contexts.get(&speaker).copied().filter(|root| *root != 0).unwrap_or(speaker)
    }

    /// The stream that a call is about; a root has none.
    pub fn stream(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.speaker())
    }

    /// The clock, in nanoseconds since the epoch.
    pub fn now_ns(&self) -> u64 {
        self.now_s * 1_000_000_000 + self.now_ms * 1_000_000
    }

    /// Time passes.
    pub fn later_ms(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// Bytes that no two calls share.
    pub fn randomness(&mut self, len: usize) -> Vec<u8> {
        self.random += 1;
        let block = self.random.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        block.into_iter().cycle().take(len).collect()
    }

    /// All messages, one a line.
    pub fn log_text(&self) -> String {
        self.log.iter().map(|(level, message)| format!("[{level}] {message}\n")).collect()
    }
}

/// The ABI's own form of a header map.
pub fn serialize(pairs: &Pairs) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut raw = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        raw.extend(number(name.len()).into_iter().chain(number(value.len())));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        raw.extend(text.iter().chain(&[0]));
    }
    raw
}

/// The reverse, and not one byte more or less.
pub fn deserialize(raw: &[u8]) -> Vec<(String, String)> {
    let number = |at: usize| usize::try_from(u32::from_le_bytes(raw[at..at + 4].try_into().unwrap())).unwrap();
    let count = number(0);
    let mut at = 4 + count * 8;
    let mut text = |len: usize| {
        let text = String::from_utf8(raw[at..at + len].to_vec()).unwrap();
        assert_eq!(raw[at + len], 0, "a NUL ends each text");
        at += len + 1;
        text
    };
    let pairs = (0..count).map(|n| (text(number(4 + n * 8)), text(number(8 + n * 8)))).collect();
    assert_eq!(at, raw.len(), "nothing follows the last header");
    pairs
}
