//! Tells a web page from a package.
//!
//! A login, an error with status 200 or a list of files is what most links lead to that lead nowhere. Refuses only what is
//! surely a page: bytes that open an HTML document, or any markup that the source itself calls HTML. No archive begins
//! like that. What is called HTML and begins like anything else passes, for that is what many servers call everything.

use http::header::CONTENT_TYPE;
use linkgate_contract::is_of_type;

use super::exchange::Response;
use crate::source::SourceError;

/// How much of a body is looked at. Templates leave blank lines at the top of a page.
const HEAD_BYTES: usize = 512;

/// The beginning of a body.
#[derive(Debug)]
pub(super) struct PageCheck {
    head: Vec<u8>,
    is_called_html: bool,
}

impl PageCheck {
    pub(super) fn new(response: &Response) -> Self {
        let value = response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
        let is_called_html = ["text/html", "application/xhtml+xml"].iter().any(|html| is_of_type(value, html));
        Self { head: Vec::new(), is_called_html }
    }

    /// Takes the next bytes, until enough are there to tell.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        let missing = HEAD_BYTES - self.head.len();
        if missing == 0 {
            return Ok(());
        }
        self.head.extend(bytes.iter().take(missing));
        if self.head.len() == HEAD_BYTES { self.judge() } else { Ok(()) }
    }

    /// Judges what came, also if it was not much.
    pub(super) fn judge(&self) -> Result<(), SourceError> {
        let text = self.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.head).trim_ascii_start();
        let is_called_and_looks_so = self.is_called_html && text.starts_with(b"<");
        if is_called_and_looks_so || begins_with_tag(text, b"<!doctype html") || begins_with_tag(text, b"<html") {
            return Err(SourceError::Page);
        }
        Ok(())
    }
}

/// Whether a text begins with this tag, in any case, and not with a longer one.
fn begins_with_tag(text: &[u8], tag: &[u8]) -> bool {
    let begins = text.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    begins && text.get(tag.len()).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_page(is_called_html: bool, parts: &[&[u8]]) -> bool {
        let mut check = PageCheck { head: Vec::new(), is_called_html };
        parts.iter().try_for_each(|part| check.push_bytes(part)).and_then(|()| check.judge()).is_err()
    }

    #[test]
    fn what_opens_a_document_is_a_page_whatever_it_is_called() {
        for page in [
            "<!DOCTYPE html><title>Login</title>",
            "<!doctype HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">",
            "<html>a page</html>",
            "<HTML lang=en>",
            "\u{feff}\r\n\t <!doctype html>",
            "<!doctype html",
        ] {
            assert!(is_page(false, &[page.as_bytes()]), "{page}");
            let bytes: Vec<&[u8]> = page.as_bytes().chunks(1).collect();
            assert!(is_page(false, &bytes), "{page}, byte by byte");
        }
    }

    #[test]
    fn any_markup_that_is_called_html_is_a_page() {
        for page in ["<!-- theme --><!doctype html>", "<?xml version=\"1.0\"?><html/>", "<head>", " <p>no"] {
            assert!(is_page(true, &[page.as_bytes()]), "{page}");
            assert!(!is_page(false, &[page.as_bytes()]), "{page}");
        }
    }

    #[test]
    fn packages_pass_even_if_they_are_called_html() {
        let tar = [b"<package>/app.yaml".as_slice(), &[0; 500]].concat();
        for package in [
            b"\x1f\x8b\x08\x00".as_slice(),
            b"PK\x03\x04",
            b"BZh91AY&SY",
            b"\xfd7zXZ\x00",
            b"\x28\xb5\x2f\xfd",
            b"app_desc.yaml\x00\x00",
            b"plain text",
            b"",
        ] {
            assert!(!is_page(true, &[package]) && !is_page(false, &[package]), "{package:?}");
        }
        assert!(!is_page(false, &[&tar]) && !is_page(false, &[b"<htmlx>"]) && !is_page(false, &[b"<!doctype htmlx"]));
    }

    #[test]
    fn a_page_far_behind_the_beginning_is_part_of_a_package() {
        assert!(is_page(false, &[&[b' '; 506], b"<html>"]));
        assert!(!is_page(false, &[&[b' '; 508], b"<html>"]));
        assert!(!is_page(false, &[&[b'x'; HEAD_BYTES], b"<html>"]));
    }
}
