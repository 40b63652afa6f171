//! A form that is read while it comes, for it holds a file.
//!
//! Promises: read as the gate reads forms that it has in full, by the same words of the contract. The bytes of a file are passed on
//! as they came and not copied; all else together, heads and fields and what is around them, has at most [`MOST_BESIDE`] bytes,
//! and there are at most [`MOST_PARTS`] parts. So whoever sends a form makes the store hold little, however long it is. (The
//! usual crate for this, multer, reads on for as long as bytes are there, and puts no bound on the head of a part.)

use bytes::{Bytes, BytesMut};
use linkgate_contract::{Boundary, BoundaryLine, ErrorCode, InvalidForm, PartHead, Problem, Text};
use linkgate_store_core::ingest::ports::FileError;
use memchr::memmem::{self, Finder};

/// Of everything but the file.
pub(super) const MOST_BESIDE: usize = 64 << 10;
/// Of a form that holds a file.
const MOST_PARTS: usize = 16;

/// Where the bytes of a form come from.
pub(super) trait Pieces: Send {
    /// What comes next; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, FileError>> + Send;
}

/// Where in the form the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    InPart,
    BehindBoundary,
    End,
}

/// A form that comes.
pub(super) struct FormReader<P> {
    pieces: P,
    /// What has come and is not read yet.
    window: Bytes,
    /// Whether nothing more comes.
    is_all: bool,
    finder: Finder<'static>,
    place: Place,
    parts: usize,
    /// Bytes that were not the file's.
    beside: usize,
}

impl<P: Pieces> FormReader<P> {
    pub(super) fn new(boundary: &Boundary, pieces: P) -> Self {
        let finder = Finder::new(&boundary.delimiter()).into_owned();
        let (window, is_all) = (Bytes::new(), false);
        Self { pieces, window, is_all, finder, place: Place::Begin, parts: 0, beside: 0 }
    }

    /// What the form is read from.
    pub(super) fn pieces(&mut self) -> &mut P {
        &mut self.pieces
    }

    /// The next part, once all of the last one was read; `None` at the end of the form.
    pub(super) async fn next_part(&mut self) -> Result<Option<PartHead>, FileError> {
        match self.place {
            Place::Begin => self.skip_preamble().await?,
            Place::InPart => while self.next_beside().await?.is_some() {},
            Place::BehindBoundary => {}
            Place::End => return Ok(None),
        }
        loop {
            match BoundaryLine::read(&self.window, self.is_all).map_err(refused)? {
                BoundaryLine::Part(skipped) => {
                    self.skip(skipped)?;
                    return self.read_head().await.map(Some);
                }
                BoundaryLine::Last => {
                    self.skip_all().await?;
                    return Ok(None);
                }
                BoundaryLine::Unfinished => _ = self.fill().await?,
            }
        }
    }

    /// The next bytes of the part; `None` at its end.
    pub(super) async fn next_bytes(&mut self) -> Result<Option<Bytes>, FileError> {
        loop {
            match self.finder.find(&self.window) {
                Some(0) => {
                    self.skip(self.finder.needle().len())?;
                    self.place = Place::BehindBoundary;
                    return Ok(None);
                }
                Some(at) => return Ok(Some(self.window.split_to(at))),
                None => {}
            }
            let plain = self.window.len() - self.length_of_beginning();
            if plain > 0 {
                return Ok(Some(self.window.split_to(plain)));
            }
            if !self.fill().await? {
                return Err(refused(InvalidForm::Truncated));
            }
        }
    }

    /// The value of a part that is no file.
    pub(super) async fn read_text(&mut self, head: &PartHead) -> Result<String, FileError> {
        let mut value = Vec::new();
        while let Some(bytes) = self.next_beside().await? {
            value.extend_from_slice(&bytes);
        }
        head.read_text(&value, self.parts).map(str::to_owned).map_err(refused)
    }

    async fn next_beside(&mut self) -> Result<Option<Bytes>, FileError> {
        let bytes = self.next_bytes().await?;
        self.count(bytes.as_ref().map_or(0, Bytes::len))?;
        Ok(bytes)
    }

    /// The lines of a part's head, which begin behind the line break that is next.
    async fn read_head(&mut self) -> Result<PartHead, FileError> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(too_much());
        }
        let end = loop {
            match memmem::find(&self.window, b"\r\n\r\n") {
                Some(at) if at <= PartHead::MAX_BYTES => break at,
                None if self.window.len() <= PartHead::MAX_BYTES => {}
                _ => return Err(refused(InvalidForm::Headers(self.parts))),
            }
            if !self.fill().await? {
                return Err(refused(InvalidForm::Truncated));
            }
        };
        // A boundary that begins with the empty line ends the part within its head.
        while self.window.len() < end + 2 + self.finder.needle().len() && self.fill().await? {}
        if self.finder.find(&self.window).is_some_and(|boundary| boundary < end + 4) {
            return Err(refused(InvalidForm::Headers(self.parts)));
        }
        let head = PartHead::parse(self.window.get(2..end).unwrap_or_default(), self.parts).map_err(refused)?;
        self.skip(end + 4)?;
        self.place = Place::InPart;
        Ok(head)
    }

    /// Up to the end of the first boundary, which may stand at the very beginning.
    async fn skip_preamble(&mut self) -> Result<(), FileError> {
        let line = self.finder.needle().get(2..).unwrap_or_default().to_vec();
        while self.window.len() < line.len() && self.fill().await? {}
        self.place = Place::InPart;
        if self.window.starts_with(&line) {
            self.place = Place::BehindBoundary;
            return self.skip(line.len());
        }
        loop {
            match self.next_beside().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(_) if self.is_all => return Err(refused(InvalidForm::NoPart)),
                Err(error) => return Err(error),
            }
        }
    }

    /// What follows the last boundary, to the end of the body.
    async fn skip_all(&mut self) -> Result<(), FileError> {
        self.place = Place::End;
        loop {
            self.skip(self.window.len())?;
            if !self.fill().await? {
                return Ok(());
            }
        }
    }

    /// How many bytes at the end of what has come may be the beginning of a boundary.
    fn length_of_beginning(&self) -> usize {
        let boundary = self.finder.needle();
        let longest = boundary.len().saturating_sub(1).min(self.window.len());
        (1..=longest).rev().find(|n| boundary.get(..*n).is_some_and(|part| self.window.ends_with(part))).unwrap_or(0)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), FileError> {
        self.window = self.window.split_off(bytes.min(self.window.len()));
        self.count(bytes)
    }

    fn count(&mut self, bytes: usize) -> Result<(), FileError> {
        self.beside += bytes;
        if self.beside > MOST_BESIDE { Err(too_much()) } else { Ok(()) }
    }

    /// Waits for more; `false` if nothing more comes. Little is left unread when it is called, so little is copied.
    async fn fill(&mut self) -> Result<bool, FileError> {
        if self.is_all {
            return Ok(false);
        }
        let Some(piece) = self.pieces.next().await? else {
            self.is_all = true;
            return Ok(false);
        };
        if self.window.is_empty() {
            self.window = piece;
        } else {
            let mut both = BytesMut::with_capacity(self.window.len() + piece.len());
            both.extend_from_slice(&self.window);
            both.extend_from_slice(&piece);
            self.window = both.freeze();
        }
        Ok(true)
    }
}

/// A form that cannot be read.
pub(super) fn refused(fault: InvalidForm) -> FileError {
    FileError::Refused(Problem::with_detail(ErrorCode::ParseError, fault.caller_message()))
}

fn too_much() -> FileError {
    FileError::Refused(Problem::with_detail(
        ErrorCode::ParseError,
        Text::made(
            format!("表单解析错误 - 除文件外最多 {MOST_PARTS} 个部分，共不超过 {MOST_BESIDE} 字节"),
            format!("Form parse error - it may have {MOST_PARTS} parts, and {MOST_BESIDE} bytes beside the file"),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{Language, MediaType};

    use super::*;

    struct Cut(Vec<Bytes>);

    impl Pieces for Cut {
        async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
            Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0)) })
        }
    }

    /// Parts by name, file name and value, read in pieces of so many bytes.
    async fn read(body: &[u8], piece: usize) -> Result<Vec<(String, Option<String>, Vec<u8>)>, String> {
        let MediaType::Multipart(Some(boundary)) = MediaType::from_header(Some(b"multipart/form-data; boundary=B"))
        else {
            panic!("a boundary")
        };
        let pieces = body.chunks(piece).map(Bytes::copy_from_slice).collect();
        let mut form = FormReader::new(&boundary, Cut(pieces));
        let said = |error: FileError| match error {
            FileError::Refused(problem) => problem.detail(Language::English),
            other => other.to_string(),
        };
        let mut parts = Vec::new();
        while let Some(head) = form.next_part().await.map_err(said)? {
            let mut value = Vec::new();
            if head.is_file() {
                while let Some(bytes) = form.next_bytes().await.map_err(said)? {
                    value.extend_from_slice(&bytes);
                }
            } else {
                value = form.read_text(&head).await.map_err(said)?.into_bytes();
            }
            parts.push((head.name().to_owned(), head.file_name().map(str::to_owned), value));
        }
        Ok(parts)
    }

    const FILE: &str = "--B\r\nContent-Disposition: form-data; name=\"package\"; filename=\"a.tgz\"\r\nContent-Type: application/gzip\r\n\r\n";

    #[tokio::test]
    async fn a_form_reads_the_same_however_it_is_cut() {
        // Whatever looks like a boundary and is none belongs to the file.
        let content = b"\r\n--\r\n--\r\n-B\r\n\r\r\n--A--B\r\n".as_slice();
        let body = [
            b"preamble\r\n--B\r\ncontent-disposition: form-data; name=version\r\n\r\n1.0\r\n",
            FILE.as_bytes(),
            content,
            b"\r\n--B \t\r\nContent-Disposition: form-data; name=size\r\n\r\n\r\n--B--\r\nepilogue",
        ]
        .concat();
        let want = vec![
            ("version".to_owned(), None, b"1.0".to_vec()),
            ("package".to_owned(), Some("a.tgz".to_owned()), content.to_vec()),
            ("size".to_owned(), None, Vec::new()),
        ];
        for piece in 1..=body.len() {
            assert_eq!(read(&body, piece).await.as_ref(), Ok(&want), "{piece}");
        }
    }

    #[tokio::test]
    async fn a_form_that_is_broken_is_refused_however_it_is_cut() {
        let cases = [
            (String::new(), "no line with the boundary"),
            ("--C\r\n".to_owned(), "no line with the boundary"),
            (FILE.to_owned(), "ends before its last boundary"),
            (format!("{FILE}abc\r\n--B"), "ends before its last boundary"),
            (format!("{FILE}abc\r\n--B-"), "ends before its last boundary"),
            (format!("{FILE}abc\r\n--B\r"), "ends before its last boundary"),
            (format!("{FILE}abc\r\n--Bx\r\n"), "something else follows a boundary"),
            (format!("{FILE}abc\r\n--B--x"), "something else follows a boundary"),
            ("--B\r\n\r\nx\r\n--B--".to_owned(), "part 1 does not have"),
            ("--B\r\nX: y\r\n\r\n--B--".to_owned(), "the headers of part 1"),
            (format!("--B\r\nX: {}\r\n\r\n\r\n--B--", "y".repeat(5_000)), "the headers of part 1"),
        ];
        for (body, want) in cases {
            for piece in [1, 2, 3, 7, body.len().max(1)] {
                let said = read(body.as_bytes(), piece).await.unwrap_err();
                assert!(said.contains(want), "{body:?} in {piece}: {said}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_the_file_is_bounded() {
        let part = |value: &str| format!("--B\r\nContent-Disposition: form-data; name=x\r\n\r\n{value}\r\n");
        assert!(read(format!("{}--B--", part("v").repeat(MOST_PARTS)).as_bytes(), 99).await.is_ok());
        let long = "v".repeat(MOST_BESIDE);
        for body in [
            format!("{}--B--", part("v").repeat(MOST_PARTS + 1)),
            format!("{}--B--", part(&long)),
            format!("{long}\r\n{}--B--", part("v")),
            format!("{}--B--\r\n{long}", part("v")),
        ] {
            let said = read(body.as_bytes(), 1_000).await.unwrap_err();
            assert!(said.contains("16 parts, and 65536 bytes beside the file"), "{said}");
        }
        let file = "f".repeat(4 * MOST_BESIDE);
        assert_eq!(read(format!("{FILE}{file}\r\n--B--").as_bytes(), 1_000).await.unwrap()[0].2.len(), file.len());
    }
}
