//! Server-sent events, as far as the store sends them: the data of each event, however the bytes are cut.

use crate::error::Error;

/// More than any document of a job has.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Takes bytes in and gives events out. Comments are silence that shows that somebody is there.
#[derive(Debug, Default)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    data: String,
    ends_in_return: bool,
}

impl EventParser {
    /// Reads some more bytes; the data of every event that they complete goes into `found`.
    pub(crate) fn feed(&mut self, bytes: &[u8], found: &mut Vec<String>) -> Result<(), Error> {
        for &byte in bytes {
            // A line may end in CR LF, and the LF may come later.
            let is_second = byte == b'\n' && self.ends_in_return;
            self.ends_in_return = byte == b'\r';
            match byte {
                b'\n' if is_second => {}
                b'\n' | b'\r' => found.extend(self.end_line()),
                _ if self.line.len() + self.data.len() >= MAX_EVENT_BYTES => {
                    return Err(Error::Setting(format!("an event has over {MAX_EVENT_BYTES} bytes")));
                }
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// Takes the line in; an empty one ends an event.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then_some(data);
        }
        let line = String::from_utf8_lossy(&line);
        if let Some(value) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ":\n\nevent:fetching\ndata:{\"a\":1}\nid:fetching\nretry:5000\n\n\
        event:done\r\ndata: one\r\ndata: two\r\n\r\ndata:cut";

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let (mut parser, mut found) = (EventParser::default(), Vec::new());
        for piece in pieces {
            parser.feed(piece, &mut found).unwrap();
        }
        found
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let whole = parse(&[STREAM.as_bytes()]);
        assert_eq!(whole, ["{\"a\":1}", "one\ntwo"]);
        for at in 0..STREAM.len() {
            let (one, other) = STREAM.as_bytes().split_at(at);
            assert_eq!(parse(&[one, other]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        assert_eq!(parse(&single), whole);
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut parser = EventParser::default();
        assert!(parser.feed(&vec![b'x'; MAX_EVENT_BYTES + 1], &mut Vec::new()).is_err());
    }
}
