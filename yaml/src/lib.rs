//! What the scalars of a YAML document mean, read into JSON: by the core schema of YAML 1.2.2 for policies, and as PyYAML
//! reads YAML 1.1 for packages' descriptions, which the platform reads with it.
//!
//! Promises: to a policy `n`, `on`, `12:30` and `2024-01-01` are text, as they look, and what JSON cannot hold is refused,
//! never rounded to something else. In a description it is the text that is written.

mod pyyaml;

pub use pyyaml::scalar_of_pyyaml;

use saphyr_parser::ScalarStyle;
use serde_json::{Number, Value};

/// The value of a scalar without a tag: section 10.3.2 of the standard.
///
/// # Errors
/// A number that JSON cannot hold, as a message.
pub fn scalar(text: &str, style: ScalarStyle) -> Result<Value, &'static str> {
    if style != ScalarStyle::Plain {
        return Ok(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Ok(Value::Null),
        "true" | "True" | "TRUE" => Ok(true.into()),
        "false" | "False" | "FALSE" => Ok(false.into()),
        _ => number(text).unwrap_or_else(|| Ok(text.into())),
    }
}

/// What is said of a number that JSON cannot hold.
pub const OUT_OF_RANGE: &str = "a number out of range, put it in quotes if it is meant as text";

/// Nothing if the text is no number.
fn number(text: &str) -> Option<Result<Value, &'static str>> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|c| c.is_digit(radix))
        {
            return Some(u64::from_str_radix(digits, radix).map(Value::from).map_err(|_| OUT_OF_RANGE));
        }
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(OUT_OF_RANGE));
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        let whole = text.strip_prefix('+').unwrap_or(text);
        let value = whole.parse::<u64>().map(Value::from).or_else(|_| whole.parse::<i64>().map(Value::from));
        return Some(value.map_err(|_| OUT_OF_RANGE));
    }
    is_fraction(unsigned).then(|| {
        let number = text.parse().ok().and_then(Number::from_f64);
        number.map(Value::Number).ok_or(OUT_OF_RANGE)
    })
}

/// `1.5`, `.5`, `1.`, `1e3`: digits around at most one dot, and an exponent.
fn is_fraction(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let cases = [
            ("n", json!("n")),
            ("on", json!("on")),
            ("Yes", json!("Yes")),
            ("~", json!(null)),
            ("true", json!(true)),
            ("65536", json!(65_536)),
            ("-1", json!(-1)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("010", json!(10)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("12:30", json!("12:30")),
            ("127.0.0.1:8090", json!("127.0.0.1:8090")),
            ("2024-01-01", json!("2024-01-01")),
            (".", json!(".")),
            ("-", json!("-")),
            ("e5", json!("e5")),
            ("1e", json!("1e")),
        ];
        for (text, want) in cases {
            assert_eq!(scalar(text, ScalarStyle::Plain), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_quoted_is_text() {
        for text in ["true", "12", "~", ""] {
            assert_eq!(scalar(text, ScalarStyle::SingleQuoted), Ok(json!(text)), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused() {
        for text in
            ["99999999999999999999", "-9223372036854775809", "0xfffffffffffffffff", ".inf", "-.INF", ".nan", "1e999"]
        {
            assert_eq!(scalar(text, ScalarStyle::Plain), Err(OUT_OF_RANGE), "{text}");
        }
    }
}
