//! Scalars as PyYAML's safe loader reads them, by the types of YAML 1.1.
//!
//! Promises: every scalar has a value. A number that JSON cannot hold (`.inf`, a stamp of 20 digits) is its text, and so
//! is a date.

use saphyr_parser::ScalarStyle;
use serde_json::{Number, Value};

/// The value of a scalar without a tag.
#[must_use]
pub fn scalar_of_pyyaml(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return text.into();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => whole(text).or_else(|| fraction(text)).unwrap_or_else(|| text.into()),
    }
}

fn whole(text: &str) -> Option<Value> {
    let (is_negative, unsigned) = split_sign(text);
    let number = match unsigned.as_bytes() {
        [b'0', b'b', ..] => parse_digits(unsigned.get(2..)?, 2),
        [b'0', b'x', ..] => parse_digits(unsigned.get(2..)?, 16),
        [b'0', _, ..] => parse_digits(unsigned.get(1..)?, 8),
        [b'0'..=b'9', ..] if unsigned.contains(':') => parse_sixties(unsigned),
        [b'0'..=b'9', ..] => parse_digits(unsigned, 10),
        _ => None,
    }?;
    if is_negative {
        let negative = i64::try_from(-i128::from(number)).ok()?;
        return Some(negative.into());
    }
    Some(number.into())
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits, with underscores between and behind them.
fn parse_digits(text: &str, radix: u32) -> Option<u64> {
    let is_number = text.chars().all(|c| c == '_' || c.is_digit(radix));
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if is_number { u64::from_str_radix(&digits, radix).ok() } else { None }
}

/// Hours, minutes and seconds: `12:30` is 750.
fn parse_sixties(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let first = parse_digits(parts.next()?, 10)?;
    parts.try_fold(first, |sum, part| sum.checked_mul(60)?.checked_add(parse_sixtieth(part)?))
}

fn parse_sixtieth(part: &str) -> Option<u64> {
    let is_number = matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    if is_number { part.parse().ok() } else { None }
}

/// Digits around a dot, and an exponent with a sign. Without a dot it is text: `1e3`.
fn fraction(text: &str) -> Option<Value> {
    let (is_negative, unsigned) = split_sign(text);
    let (before, after) = unsigned.split_once('.')?;
    let begins_with_digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    // Without digits before the dot there is no sign.
    let has_sign = unsigned.len() < text.len();
    let is_bare = before.is_empty() && !has_sign && begins_with_digit(after);
    if !begins_with_digit(before) && !is_bare {
        return None;
    }
    let (digits, exponent) = split_exponent(after)?;
    let clean = |text: &str| text.chars().filter(|c| *c != '_').collect::<String>();
    let is_number = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    if !is_number(digits) {
        return None;
    }
    let size = match before.split_once(':') {
        Some(_) if exponent.is_empty() => {
            let whole = parse_sixties(before)?;
            format!("{whole}.{}", clean(digits)).parse::<f64>().ok()?
        }
        None if is_number(before) => format!("{}.{}{exponent}", clean(before), clean(digits)).parse::<f64>().ok()?,
        _ => return None,
    };
    Number::from_f64(if is_negative { -size } else { size }).map(Value::Number)
}

/// What stands before the exponent, and the exponent, whose sign must be there.
fn split_exponent(after: &str) -> Option<(&str, &str)> {
    let Some(at) = after.find(['e', 'E']) else { return Some((after, "")) };
    let (digits, exponent) = after.split_at_checked(at)?;
    let number = exponent.get(1..)?.strip_prefix(['+', '-'])?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some((digits, exponent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What PyYAML 6 loads.
    #[test]
    fn plain_scalars_are_what_pyyaml_loads() {
        let cases = [
            ("on", json!(true)),
            ("No", json!(false)),
            ("y", json!("y")),
            ("~", json!(null)),
            ("65536", json!(65_536)),
            ("+7", json!(7)),
            ("-0", json!(0)),
            ("1_000", json!(1000)),
            ("010", json!(8)),
            ("089", json!("089")),
            ("0o17", json!("0o17")),
            ("0x1F", json!(31)),
            ("-0b101", json!(-5)),
            ("12:30", json!(750)),
            ("12:30:15", json!(45_015)),
            ("12:60", json!("12:60")),
            ("18446744073709551615", json!(u64::MAX)),
            ("20261128133744123456", json!("20261128133744123456")),
            ("-9223372036854775808", json!(i64::MIN)),
            ("-9223372036854775809", json!("-9223372036854775809")),
            ("1.5", json!(1.5)),
            ("-1.", json!(-1.0)),
            (".5", json!(0.5)),
            ("-.5", json!("-.5")),
            ("1.5e+3", json!(1500.0)),
            ("1.5e3", json!("1.5e3")),
            ("1e3", json!("1e3")),
            ("52e1006", json!("52e1006")),
            ("1.0e+999", json!("1.0e+999")),
            ("1:30.5", json!(90.5)),
            (".inf", json!(".inf")),
            ("-.INF", json!("-.INF")),
            (".nan", json!(".nan")),
            ("2026-11-28", json!("2026-11-28")),
            ("1.2.3", json!("1.2.3")),
            ("0x", json!("0x")),
            (".", json!(".")),
            ("-", json!("-")),
            ("=", json!("=")),
        ];
        for (text, want) in cases {
            assert_eq!(scalar_of_pyyaml(text, ScalarStyle::Plain), want, "{text}");
        }
        assert_eq!(scalar_of_pyyaml("12", ScalarStyle::DoubleQuoted), json!("12"));
    }
}
