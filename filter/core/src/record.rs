//! What the access log says of a request.

/// Tags of `google.protobuf.Struct`: field numbers 1, 1, 2 and 3, each with a length behind it.
const STRUCT_FIELDS: u8 = 0x0a;
const ENTRY_KEY: u8 = 0x0a;
const ENTRY_VALUE: u8 = 0x12;
const VALUE_STRING: u8 = 0x1a;

/// The length of something of this length with its tag and its own length before it.
fn tagged_len(len: usize) -> usize {
    1 + varint_len(len) + len
}

fn varint_len(mut number: usize) -> usize {
    let mut bytes = 1;
    while number > 0x7f {
        number >>= 7;
        bytes += 1;
    }
    bytes
}

fn write_tag(message: &mut Vec<u8>, tag: u8, len: usize) {
    message.push(tag);
    let mut number = len;
    while number > 0x7f {
        message.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    message.push(number.to_le_bytes()[0]);
}

/// Who asked for what, and how it was decided; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The calling app; of one that was not verified only a well-formed code.
    pub app: String,
    /// The verified user.
    pub user: String,
    /// The application that the package is for.
    pub application: String,
    /// Its module.
    pub module: String,
    /// The operation id of the endpoint.
    pub operation: &'static str,
    /// The stage of the route.
    pub stage: String,
    /// `OK`, or the name of the refusal's code.
    pub decision: &'static str,
    /// Why nobody is known, where the words are fixed ones of ours.
    pub reason: &'static str,
    /// The rule that decided: the grant that allowed it, or what refused it.
    pub rule: String,
    /// How it is known who calls: listed, cached, fresh or stale.
    pub identity: &'static str,
    /// Report-only rules that would have denied it, by comma.
    pub reported: String,
}

impl Record {
    /// Every field, by the names of docs/LOGGING.md.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, &str); 11] {
        [
            ("app", &self.app),
            ("user", &self.user),
            ("application", &self.application),
            ("module", &self.module),
            ("operation", self.operation),
            ("stage", &self.stage),
            ("decision", self.decision),
            ("reason", self.reason),
            ("rule", &self.rule),
            ("identity", self.identity),
            ("reported", &self.reported),
        ]
    }

    /// The fields that say something: what is not known is left out.
    pub fn filled_fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields().into_iter().filter(|(_, value)| !value.is_empty())
    }

    /// The filled fields as the bytes of a protobuf message `google.protobuf.Struct`, in which a proxy finds each field by its
    /// name. One value for all of them, for each that a filter leaves with a request costs a call of the host.
    #[must_use]
    pub fn to_protobuf(&self) -> Vec<u8> {
        // Enough for the usual one; names and tags of all fields together have 150 bytes.
        let mut message = Vec::with_capacity(384);
        for (name, value) in self.filled_fields() {
            let text_len = tagged_len(value.len());
            let value_len = tagged_len(text_len);
            write_tag(&mut message, STRUCT_FIELDS, tagged_len(name.len()) + value_len);
            write_tag(&mut message, ENTRY_KEY, name.len());
            message.extend_from_slice(name.as_bytes());
            write_tag(&mut message, ENTRY_VALUE, text_len);
            write_tag(&mut message, VALUE_STRING, value.len());
            message.extend_from_slice(value.as_bytes());
        }
        message
    }

    pub(crate) fn add_reported(&mut self, rule: &str) {
        if !self.reported.is_empty() {
            self.reported.push(',');
        }
        self.reported.push_str(rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one message of fields with lengths, as protobuf has them.
    fn read(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
        let mut fields = Vec::new();
        while let [tag, rest @ ..] = bytes {
            let (mut len, mut shift, mut rest) = (0, 0, rest);
            while let [byte, more @ ..] = rest {
                (len, shift, rest) = (len | usize::from(byte & 0x7f) << shift, shift + 7, more);
                if byte & 0x80 == 0 {
                    break;
                }
            }
            fields.push((tag >> 3, &rest[..len]));
            bytes = &rest[len..];
        }
        fields
    }

    #[test]
    fn the_filled_fields_are_a_struct_of_texts_and_what_is_empty_is_left_out() {
        for len in [1, 127, 128, 300, 20_000] {
            let record = Record { app: "ci".to_owned(), rule: "r".repeat(len), decision: "OK", ..Record::default() };
            let message = record.to_protobuf();
            let entries = read(&message).into_iter().map(|(number, entry)| {
                assert_eq!(number, 1);
                let [(1, name), (2, value)] = read(entry)[..] else { panic!("a name and a value") };
                let [(3, text)] = read(value)[..] else { panic!("a text") };
                (std::str::from_utf8(name).unwrap(), std::str::from_utf8(text).unwrap())
            });
            assert_eq!(entries.collect::<Vec<_>>(), record.filled_fields().collect::<Vec<_>>());
            assert_eq!(record.filled_fields().count(), 3);
        }
        assert!(Record::default().to_protobuf().is_empty());
    }
}
