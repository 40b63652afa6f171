//! A file of which parts can be asked for, as good servers serve it, and with the lies that bad ones tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A file. Starts as one of a good server; a test changes one thing.
#[derive(Clone, Debug)]
pub struct RangedFile {
    /// Its bytes.
    pub body: Arc<Vec<u8>>,
    /// Its `ETag`, as it stands in the header.
    pub etag: Option<String>,
    /// Its `Last-Modified`. `Date` is always a minute after the first moment of 2020.
    pub modified: Option<String>,
    /// Further lines of the head, each with its end.
    pub more: String,
    /// Closes after so many bytes of a body, whatever was announced.
    pub cut: usize,
    /// Resets the connection in the place of a goodbye.
    pub resets: bool,
    /// Answers a range with the whole file.
    pub ignores_ranges: bool,
    /// Answers a range also if it is meant for another version.
    pub ignores_if_range: bool,
    /// Says this in `Content-Range` whatever it sends; empty: not at all.
    pub content_range: Option<String>,
    /// Sends the rest without a length.
    pub until_close: bool,
    /// Rests so long after each 256 KiB.
    pub pause: Duration,
}

impl RangedFile {
    /// A file with the strong tag `"v1"`, sent whole.
    #[must_use]
    pub fn new(body: impl Into<Arc<Vec<u8>>>) -> Self {
        Self {
            body: body.into(),
            etag: Some("\"v1\"".into()),
            modified: None,
            more: String::new(),
            cut: usize::MAX,
            resets: false,
            ignores_ranges: false,
            ignores_if_range: false,
            content_range: None,
            until_close: false,
            pause: Duration::ZERO,
        }
    }

    /// The same file, cut after so many bytes of a body.
    #[must_use]
    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.cut = bytes;
        self
    }

    /// The same file with one change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(super) async fn play(&self, stream: &mut TcpStream, request: &str) -> std::io::Result<()> {
        let (mut head, body) = match self.asked_for(request) {
            None => ("HTTP/1.1 200 OK\r\n".to_owned(), &self.body[..]),
            Some((at, _)) if at >= self.body.len() => ("HTTP/1.1 416 Any\r\n".to_owned(), &[][..]),
            Some((at, end)) => (self.partial_head(at, end), &self.body[at..end]),
        };
        for (name, value) in [("etag", &self.etag), ("last-modified", &self.modified)] {
            head.extend(value.iter().map(|value| format!("{name}: {value}\r\n")));
        }
        if !self.until_close {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += &format!("date: Wed, 01 Jan 2020 00:01:00 GMT\r\n{}\r\n", self.more);
        stream.write_all(head.as_bytes()).await?;
        for piece in body[..self.cut.min(body.len())].chunks(256 << 10) {
            stream.write_all(piece).await?;
            tokio::time::sleep(self.pause).await;
        }
        if self.resets {
            // Time for the reader to take them; a reset throws away what waits on its side.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return super::reset(stream);
        }
        Ok(())
    }

    fn partial_head(&self, at: usize, end: usize) -> String {
        let honest = format!("bytes {at}-{}/{}", end - 1, self.body.len());
        match self.content_range.as_ref().unwrap_or(&honest).as_str() {
            "" => "HTTP/1.1 206 Any\r\n".to_owned(),
            said => format!("HTTP/1.1 206 Any\r\ncontent-range: {said}\r\n"),
        }
    }

    /// Where the asked part begins and before which byte it ends, if one is asked for and to be had.
    fn asked_for(&self, request: &str) -> Option<(usize, usize)> {
        let header = |name: &str| {
            let mut lines = request.lines().filter_map(|line| line.split_once(": "));
            lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        };
        let (at, last) = header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let end = last.parse().map_or(self.body.len(), |last: usize| self.body.len().min(last + 1));
        let is_this = header("if-range").is_none_or(|v| [&self.etag, &self.modified].contains(&&Some(v.to_owned())));
        (!self.ignores_ranges && (is_this || self.ignores_if_range)).then(|| (at.parse().unwrap(), end))
    }
}
