//! The fields of a JSON object, read without copying what need not be copied.
//!
//! Every request to the gate has two of them, a header and a body, and nearly all of their values are plain texts.
//! Promises: of several fields of one name the last one counts, as with every usual reader; a value that nothing can hold, like
//! `1e400` or half of a surrogate pair, is the matter of who reads its field. Refuses what is no object.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// An object's fields, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Field<'a>)>);

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// An array or an object.
    Nested(Value),
    /// JSON that no value can hold: a number beyond all, half of a surrogate pair, or arrays in arrays without end.
    Unreadable,
}

/// Why a text is no object.
#[derive(Debug)]
pub enum NoObject {
    /// It is no JSON.
    Malformed(serde_json::Error),
    /// It is this instead.
    Other(Value),
}

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// [`NoObject`] says what it is instead.
    pub fn from_json(text: &'a [u8]) -> Result<Self, NoObject> {
        if text.trim_ascii_start().starts_with(b"{")
            && let Ok(text) = std::str::from_utf8(text)
        {
            return serde_json::from_str(text).map_err(NoObject::Malformed);
        }
        Err(serde_json::from_slice(text).map_or_else(NoObject::Malformed, NoObject::Other))
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Field<'a>> {
        self.0.iter().rev().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// Whether a field has one of these names.
    #[must_use]
    pub fn has_any(&self, names: &[&str]) -> bool {
        self.0.iter().any(|(of, _)| names.contains(&of.as_ref()))
    }

    /// As JSON again, without the fields of these names and those that nobody can read.
    #[must_use]
    pub fn json_without(self, names: &[&str]) -> String {
        let is_kept = |name: &str, value: &Field<'_>| !names.contains(&name) && *value != Field::Unreadable;
        let kept = self.0.into_iter().filter(|(name, value)| is_kept(name, value));
        let object: Map<String, Value> = kept.map(|(name, value)| (name.into_owned(), value.into())).collect();
        Value::Object(object).to_string()
    }
}

/// Of two fields of one name the later one counts.
impl<'a> Extend<(Cow<'a, str>, Field<'a>)> for Fields<'a> {
    fn extend<T: IntoIterator<Item = (Cow<'a, str>, Field<'a>)>>(&mut self, fields: T) {
        self.0.extend(fields);
    }
}

impl<'a> FromIterator<(Cow<'a, str>, Field<'a>)> for Fields<'a> {
    fn from_iter<T: IntoIterator<Item = (Cow<'a, str>, Field<'a>)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = (Cow<'a, str>, Field<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Field<'_>> for Value {
    fn from(field: Field<'_>) -> Self {
        match field {
            Field::Null | Field::Unreadable => Self::Null,
            Field::Bool(flag) => Self::Bool(flag),
            Field::Number(number) => Self::Number(number),
            Field::Text(text) => Self::String(text.into_owned()),
            Field::Nested(value) => value,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                // A usual request has three.
                let mut fields = Vec::with_capacity(4);
                while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                    fields.push((name, Field::from_json(value.get())));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Name<'de>, E> {
                Ok(Name(String::from_utf8_lossy(text)))
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(String::from_utf8_lossy(text).into_owned())))
            }
        }

        // As bytes, for half of a surrogate pair in a name is no reason to refuse the others.
        deserializer.deserialize_bytes(Text)
    }
}

impl<'a> Field<'a> {
    fn from_json(text: &'a str) -> Self {
        // Without a fraction it is a whole number, and those have one zero.
        if text == "-0" { Self::Number(0.into()) } else { serde_json::from_str(text).unwrap_or(Self::Unreadable) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Field<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            fn visit_unit<E>(self) -> Result<Field<'de>, E> {
                Ok(Field::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Field<'de>, E> {
                Ok(Field::Bool(flag))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
                Ok(Field::Number(number.into()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
                Ok(Field::Number(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Field<'de>, E> {
                Ok(Number::from_f64(number).map_or(Field::Null, Field::Number))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
                Ok(Field::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
                Ok(Field::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Field<'de>, A::Error> {
                Value::deserialize(SeqAccessDeserializer::new(list)).map(Field::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field<'de>, A::Error> {
                Value::deserialize(MapAccessDeserializer::new(map)).map(Field::Nested)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Fields<'_> {
        Fields::from_json(text.as_bytes()).expect(text)
    }

    #[test]
    fn every_kind_of_value_is_kept_as_it_means() {
        let text = r#" {"n": null, "b": true, "i": -7, "u": 18446744073709551615, "f": 1.5, "t": "a\u00e9", "l": [1, {"x": []}], "o": {"k": "v"}}"#;
        let whole: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read(text).json_without(&[]), whole.to_string());
        assert_eq!(read(text).get("t"), Some(&Field::Text("aé".into())));
        assert_eq!(read(text).get("l"), Some(&Field::Nested(json!([1, {"x": []}]))));
        assert_eq!(read(text).get("T"), None);
    }

    #[test]
    fn plain_texts_and_names_are_borrowed() {
        let fields = read(r#"{"plain": "text", "esc\u0061ped": "li\ne"}"#);
        let borrowed: Vec<bool> = fields
            .into_iter()
            .flat_map(|(name, value)| {
                let Field::Text(value) = value else { panic!("{value:?}") };
                [name, value].map(|text| matches!(text, Cow::Borrowed(_)))
            })
            .collect();
        assert_eq!(borrowed, [true, true, false, false]);
    }

    #[test]
    fn the_last_of_several_counts_and_is_alone_when_written() {
        let fields = read(r#"{"a": 1, "b": 2, "\u0061": 3}"#);
        assert_eq!(fields.get("a"), Some(&Field::Number(3.into())));
        assert!(fields.has_any(&["x", "b"]) && !fields.has_any(&["x"]));
        assert_eq!(fields.clone().json_without(&["b"]), r#"{"a":3}"#);
        let mut all = read(r#"{"a": 0, "c": 4}"#);
        all.extend(fields);
        assert_eq!(all.json_without(&[]), r#"{"a":3,"b":2,"c":4}"#);
    }

    #[test]
    fn what_is_no_object_is_told_apart_from_what_is_no_json() {
        for other in ["[]", "\"{\"", "7", "null", " true"] {
            let found = Fields::from_json(other.as_bytes());
            assert!(
                matches!(&found, Err(NoObject::Other(value)) if *value == serde_json::from_str::<Value>(other).unwrap())
            );
        }
        for malformed in
            ["", "{", "{\"a\": 1,}", "{\"a\": 1} x", "{a: 1}", "{\"a\": \"\u{1}\"}", "{\"a\": 1e}", "{\"a\": \"\\x\"}"]
        {
            assert!(matches!(Fields::from_json(malformed.as_bytes()), Err(NoObject::Malformed(_))), "{malformed}");
        }
        for not_text in [&b"{\"a\": \"\xff\"}"[..], b"{\"\xff\": 1}"] {
            assert!(matches!(Fields::from_json(not_text), Err(NoObject::Malformed(_))));
        }
    }

    #[test]
    fn a_value_that_nothing_can_hold_harms_no_other_field() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for value in ["1e400", "-1e999", r#""\ud800""#, r#"["\udfff"]"#, r#"{"\ud800": 1}"#, r#"{"a": 1e400}"#, &deep] {
            let text = format!(r#"{{"odd": {value}, "a": "b", "\ud800": 1}}"#);
            let fields = read(&text);
            assert_eq!(fields.get("odd"), Some(&Field::Unreadable), "{value}");
            assert_eq!(fields.get("a"), Some(&Field::Text("b".into())));
            let again: Value = serde_json::from_str(&fields.json_without(&[])).unwrap();
            assert_eq!((again.get("odd"), &again["a"]), (None, &json!("b")));
        }
    }

    #[test]
    fn a_whole_number_has_one_zero() {
        let fields = read(r#"{"whole": -0, "not": -0.0}"#);
        assert_eq!(fields.json_without(&[]), r#"{"not":-0.0,"whole":0}"#);
    }
}
