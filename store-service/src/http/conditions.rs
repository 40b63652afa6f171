//! Reads `If-Match` and `If-None-Match`, by which a request says what must be true of a package.
//!
//! Promises: a header that cannot be read is refused: passed over, it would let through what its caller meant to hold back.
//! Judging is for [`linkgate_store_core::conditions`].

use linkgate_contract::{Problem, Text};
use linkgate_store_core::conditions::{Conditions, Tag, Tags};
use warp::http::HeaderMap;

const IF_MATCH: &str = "if-match";
const IF_NONE_MATCH: &str = "if-none-match";

/// Both of them.
pub(super) fn read_conditions(headers: &HeaderMap) -> Result<Conditions, Problem> {
    Ok(Conditions { if_match: read_tags(headers, IF_MATCH)?, if_none_match: read_tags(headers, IF_NONE_MATCH)? })
}

/// The tags of one header, in one line or several; `None` if there is no such header.
pub(super) fn read_tags(headers: &HeaderMap, name: &'static str) -> Result<Option<Tags>, Problem> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    parse_tags(&lines.join(&b',')).map(Some).ok_or_else(|| {
        let text = Text::fixed(
            "请使用 * 或以逗号分隔的实体标签，例如 \"7.3\"。",
            "Must be * or a list of entity tags, such as \"7.3\".",
        );
        Problem::field(name, text)
    })
}

fn parse_tags(list: &[u8]) -> Option<Tags> {
    if list.trim_ascii() == b"*" {
        return Some(Tags::Any);
    }
    let (mut tags, mut rest) = (Vec::new(), list.trim_ascii());
    while !rest.is_empty() {
        // Lists may have empty items.
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
            continue;
        }
        let (tag, after) = parse_tag(rest)?;
        tags.push(tag);
        rest = after.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
    }
    if tags.is_empty() { None } else { Some(Tags::Of(tags)) }
}

/// A tag at the beginning, and what follows it.
fn parse_tag(text: &[u8]) -> Option<(Tag, &[u8])> {
    let (is_weak, quoted) = text.strip_prefix(b"W/").map_or((false, text), |rest| (true, rest));
    let inner = quoted.strip_prefix(b"\"")?;
    let end = inner.iter().position(|b| *b == b'"')?;
    let (tag, after) = inner.split_at_checked(end)?;
    // Not ours, for ours are plain, but good form.
    let is_plain = tag.iter().all(|b| matches!(b, 0x21 | 0x23..=0x7e | 0x80..));
    is_plain
        .then(|| (Tag { is_weak, text: String::from_utf8_lossy(tag).into_owned() }, after.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use linkgate_contract::Language;

    use super::*;

    fn read(lines: &[&'static str]) -> Option<Vec<String>> {
        let headers: HeaderMap = lines.iter().map(|line| (IF_MATCH.parse().unwrap(), line.parse().unwrap())).collect();
        let tags = read_tags(&headers, IF_MATCH).ok()??;
        let text = |tag: Tag| format!("{}{}", if tag.is_weak { "W/" } else { "" }, tag.text);
        Some(match tags {
            Tags::Any => vec!["*".to_owned()],
            Tags::Of(tags) => tags.into_iter().map(text).collect(),
        })
    }

    #[test]
    fn lists_of_tags_are_read_as_the_standard_has_them() {
        assert_eq!(read(&[" * "]).unwrap(), ["*"]);
        assert_eq!(read(&[r#""7.3""#]).unwrap(), ["7.3"]);
        assert_eq!(read(&[r#""7.3" , W/"b","#, r#",, "a,b""#]).unwrap(), ["7.3", "W/b", "a,b"]);
        assert_eq!(read(&[r#""""#]).unwrap(), [""]);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for bad in ["", " ", ",", "7.3", "\"7.3", "w/\"a\"", "\"a\" \"b\"", "*, \"a\"", "\"a b\"", "\"a\"x"] {
            let headers: HeaderMap = [(IF_MATCH.parse().unwrap(), bad.parse().unwrap())].into_iter().collect();
            let problem = read_conditions(&headers).expect_err(bad);
            assert!(problem.detail(Language::English).starts_with("if-match: Must be *"), "{bad}");
        }
    }
}
