//! Settings of signed URLs.

use url::Url;

use super::vars::{Reader, Vars};

/// `LINKGATE_STORE_PUBLIC_URL`: where callers reach the gateway, with the prefix that signed URLs and links to
/// further pages are to have: `https://gateway.example.com/prod`. Http or https URL without query, fragment and user.
/// Default: none, and they are relative to the request that is answered.
pub(super) const PUBLIC_URL: &str = "LINKGATE_STORE_PUBLIC_URL";

/// Without a slash at its end.
pub(super) fn read_public_url(reader: &mut Reader<'_, impl Vars>) -> Option<String> {
    let text = reader.read_text(PUBLIC_URL)?;
    let is_plain = |url: &Url| {
        let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
        let has_more = url.query().is_some() || url.fragment().is_some();
        is_http && !has_more && url.username().is_empty() && url.password().is_none()
    };
    match Url::parse(&text).ok().filter(is_plain) {
        Some(url) => Some(url.as_str().trim_end_matches('/').to_owned()),
        None => {
            // It may have a password in it.
            let want = "an http or https URL of a host and perhaps a path, without query, fragment and user";
            reader.fault(PUBLIC_URL, format!("is not {want}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Option<String>, String> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&vars);
        let url = read_public_url(&mut reader);
        reader.finish(url).map_err(|bad| bad.to_string())
    }

    #[test]
    fn a_public_url_has_a_host_and_at_the_most_a_path() {
        assert!(matches!(read(&[]), Ok(None)));
        for (good, want) in [
            ("https://gw.example.com", "https://gw.example.com"),
            ("http://gw:8080/api/bkpaas3/prod/", "http://gw:8080/api/bkpaas3/prod"),
        ] {
            assert_eq!(read(&[(PUBLIC_URL, good)]).unwrap().as_deref(), Some(want));
        }
        for bad in ["gw.example.com", "ftp://gw", "https://", "https://gw/?a", "https://gw/#a", "https://u:5ecret@gw/"]
        {
            let fault = read(&[(PUBLIC_URL, bad)]).unwrap_err();
            assert!(fault.contains("LINKGATE_STORE_PUBLIC_URL is not") && !fault.contains("5ecret"), "{fault}");
        }
    }
}
