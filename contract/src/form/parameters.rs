//! Parameters of a MIME header: `; name=token` and `; name="quoted text"`.

/// The value before the parameters, and they in their order, names in lower case.
pub(super) struct Parameters {
    pub(super) value: String,
    list: Vec<(String, String)>,
}

impl Parameters {
    /// Reads a whole value of a header; `None` if it breaks the grammar.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return None;
        }
        let (value, mut rest) = text.find(';').map_or((text, ""), |at| text.split_at(at));
        let mut list = Vec::new();
        while let Some(parameter) = rest.strip_prefix(';') {
            let parameter = parameter.trim_start();
            rest = if parameter.is_empty() || parameter.starts_with(';') {
                parameter
            } else {
                let (name, value, rest) = parse_one(parameter)?;
                list.push((name, value));
                rest.trim_start()
            };
        }
        rest.is_empty().then(|| Self { value: value.trim().to_ascii_lowercase(), list })
    }

    /// The value of a name; `Err` where several have it.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, ()> {
        let mut values = self.list.iter().filter(|(of, _)| of == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(()),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(of, _)| of == name)
    }
}

fn parse_one(text: &str) -> Option<(String, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"\"(),/:;<>?@[\\]{}".contains(&b));
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => take_bare(rest)?,
    };
    is_name.then(|| (name.to_ascii_lowercase(), value, rest))
}

/// More than a token may hold, for clients write boundaries like `a/b=c` without quotes.
fn take_bare(text: &str) -> Option<(String, &str)> {
    let (value, rest) = text.split_at(text.find([';', ' ', '\t']).unwrap_or(text.len()));
    (!value.contains(['"', '\\'])).then(|| (value.to_owned(), rest))
}

/// What stands up to the closing quote, and what is behind it. A backslash makes the next character itself.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => value.push(rest.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_bare_and_quoted() {
        let read = |text: &str| {
            let parameters = Parameters::parse(text).expect(text);
            (parameters.value, parameters.list)
        };
        for (text, value, list) in [
            ("form-data", "form-data", &[][..]),
            (" Form-Data ; NAME=a", "form-data", &[("name", "a")]),
            (r#"form-data;name="a b";filename="c;d""#, "form-data", &[("name", "a b"), ("filename", "c;d")]),
            (r#"form-data; name="a\"b\\c""#, "form-data", &[("name", r#"a"b\c"#)]),
            ("form-data; name=版本 ;", "form-data", &[("name", "版本")]),
            ("form-data;; name=", "form-data", &[("name", "")]),
            ("multipart/form-data; boundary=a'()+_,-./:=?", "multipart/form-data", &[("boundary", "a'()+_,-./:=?")]),
            ("form-data; filename*=UTF-8''%e4", "form-data", &[("filename*", "UTF-8''%e4")]),
        ] {
            let list: Vec<(String, String)> =
                list.iter().map(|(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(read(text), (value.to_owned(), list), "{text}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_not_guessed_at() {
        for broken in [
            r#"form-data; name="a"#,
            r#"form-data; name="a\"#,
            r#"form-data; name="a"b"#,
            r#"form-data; name=a"b"#,
            r"form-data; name=a\b",
            "form-data; name",
            "form-data; =a",
            "form-data; na me=a",
            "form-data; name = a",
            "form-data; name=a b",
            "form-data; name=\"a\u{0}\"",
            "form-data; name=\"a\nb\"",
        ] {
            assert!(Parameters::parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn a_parameter_that_is_there_twice_is_none() {
        let parameters = Parameters::parse("form-data; name=a; Name=b; x=c").unwrap();
        assert_eq!(
            (parameters.get("name"), parameters.get("x"), parameters.get("y")),
            (Err(()), Ok(Some("c")), Ok(None))
        );
        assert!(parameters.has("x") && !parameters.has("y"));
    }
}
