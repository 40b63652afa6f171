//! The parameters of a query, as the endpoint's row lists them.
//!
//! Promises: of several of one name the last one counts, and a blank one is none, as with the reference. What cannot be read
//! counts as none, too, unless the caller prefers to be told (`Prefer: handling=strict`, RFC 7240): then every fault is named in
//! one refusal, and so is a parameter that nobody reads. Refuses in any case what no text may hold.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use linkgate_contract::{Problem, Text, UNKNOWN_PARAMETER};
use url::form_urlencoded::{Serializer, parse};

/// What a parameter must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Number,
    Id,
    Order,
    Version,
    Name,
    Digest,
    Deletion,
    Bool,
    Time,
}

/// All of them, while they are read.
pub(super) struct Parameters {
    /// What stands before the query of a link; nothing where links are relative to what was asked for.
    place: String,
    given: BTreeMap<String, String>,
    unknown: Option<String>,
    is_strict: bool,
    faults: BTreeMap<&'static str, Vec<Text>>,
}

impl Parameters {
    /// Takes the part of a query that the endpoint reads.
    pub(super) fn new(query: &str, is_strict: bool) -> Self {
        let mut given: BTreeMap<String, String> = parse(query.as_bytes()).into_owned().collect();
        let unknown = given.remove(UNKNOWN_PARAMETER);
        given.retain(|_, value| !value.trim().is_empty());
        Self { place: String::new(), given, unknown, is_strict, faults: BTreeMap::new() }
    }

    /// Lets links lead there.
    pub(super) fn at(self, place: String) -> Self {
        Self { place, ..self }
    }

    /// Its text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// Its value, if it can be read.
    pub(super) fn read<T>(
        &mut self,
        name: &'static str,
        expected: Expected,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(self.text(name)?.trim());
        if value.is_none() && self.is_strict {
            self.refuse(name, expected.message());
        }
        value
    }

    /// Refuses it, whatever the caller prefers.
    pub(super) fn refuse(&mut self, name: &'static str, message: Text) {
        let messages = self.faults.entry(name).or_default();
        if !messages.contains(&message) {
            messages.push(message);
        }
    }

    /// Whether the caller prefers to be told of faults.
    pub(super) fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Says what is wrong; to be called once all are read.
    pub(super) fn finish(&mut self) -> Result<(), Problem> {
        if let Some(unknown) = self.unknown.take().filter(|_| self.is_strict) {
            self.refuse(Problem::NO_FIELD, unknown_message(&unknown));
        }
        let faults = std::mem::take(&mut self.faults);
        if faults.is_empty() { Ok(()) } else { Err(Problem::fields(faults)) }
    }

    /// A query of the same parameters but for these, sorted by their names as the reference has it; as a link, relative to
    /// what was asked for unless it has a place.
    pub(super) fn link(&self, changes: &[(&str, Option<String>)]) -> String {
        let changed: BTreeSet<&str> = changes.iter().map(|(name, _)| *name).collect();
        let same = self.given.iter().filter(|(name, _)| !changed.contains(name.as_str()));
        let mut all: Vec<(&str, &str)> = same.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend(changes.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        all.sort_unstable();
        format!("{}?{}", self.place, Serializer::new(String::new()).extend_pairs(all).finish())
    }
}

impl Expected {
    fn message(self) -> Text {
        match self {
            Self::Number => Text::fixed("请输入十进制整数。", "Must be a whole number in decimal digits."),
            Self::Id => {
                Text::fixed("请输入 id，即十进制整数。", "Must be an id: decimal digits that do not begin with 0.")
            }
            Self::Order => Text::fixed(
                "可用的排序字段：id、version、version_natural、package_name、package_size、created、updated，前加 - 表示降序。",
                "Orders are id, version, version_natural, package_name, package_size, created and updated, with - before one that descends.",
            ),
            Self::Version => Text::fixed("请输入版本号。", "Must be a version: 1 to 128 characters, none of control."),
            Self::Name => Text::fixed("请输入名称。", "Must be a name: no characters of control, at most 256 bytes."),
            Self::Digest => {
                Text::fixed("请输入 SHA-256，即 64 位十六进制字符。", "Must be a SHA-256: 64 hexadecimal digits.")
            }
            Self::Deletion => Text::fixed("请输入 true、false 或 all。", "Must be true, false or all."),
            Self::Bool => Text::fixed("请输入 true 或 false。", "Must be true or false."),
            Self::Time => Text::fixed(
                "请输入时间，如 2025-10-28 07:58:00、2025-10-28 或 2025-10-28T07:58:00Z。",
                "Must be a time such as 2025-10-28 07:58:00, 2025-10-28 or 2025-10-28T07:58:00Z.",
            ),
        }
    }
}

fn unknown_message(name: &str) -> Text {
    match name {
        "" => Text::fixed("存在未知的查询参数。", "There is an unknown parameter."),
        name => Text::made(format!("未知的查询参数：{name}。"), format!("Unknown parameter: {name}.")),
    }
}

/// A whole number; one beyond all is the greatest.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// `true` or `false`, in any case, or 1 or 0.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A time in milliseconds since the epoch: as replies have it, or a date alone, in the store's zone; or with a zone of its own.
pub(super) fn time(text: &str, zone: &TimeZone) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    if let Ok(time) = strtime::parse("%Y-%m-%d %H:%M:%S %z", text).and_then(|time| time.to_timestamp()) {
        return Some(time.as_millisecond());
    }
    let time = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from)).ok()?;
    Some(time.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts_and_a_blank_one_is_none() {
        let parameters = Parameters::new("limit=1&limit=2&order_by=&search_term=+", false);
        assert_eq!(parameters.text("limit"), Some("2"));
        assert_eq!((parameters.text("order_by"), parameters.text("search_term")), (None, None));
    }

    #[test]
    fn faults_are_told_only_to_those_who_prefer_it_and_then_all_of_them() {
        let query = "limit=x&pinned=maybe&unknown_parameter=page";
        for is_strict in [false, true] {
            let mut parameters = Parameters::new(query, is_strict);
            assert_eq!(parameters.read("limit", Expected::Number, number), None);
            assert_eq!(parameters.read("pinned", Expected::Bool, flag), None);
            let told = parameters.finish().map_err(|problem| problem.body(linkgate_contract::Language::English));
            if is_strict {
                let told = told.unwrap_err();
                for part in ["Unknown parameter: page.", "\"limit\"", "\"pinned\""] {
                    assert!(told.contains(part), "{told}");
                }
            } else {
                assert_eq!(told, Ok(()));
            }
        }
    }

    #[test]
    fn a_link_has_the_same_parameters_in_the_order_of_their_names() {
        let parameters = Parameters::new("search_term=a+b&offset=3&limit=1&unknown_parameter=x", false);
        let link = parameters.link(&[("limit", Some("10".into())), ("offset", None), ("before_id", Some("7".into()))]);
        assert_eq!(link, "?before_id=7&limit=10&search_term=a+b");
    }

    #[test]
    fn times_are_read_as_replies_show_them_and_as_the_standards_have_them() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let expected = Some(1_761_609_480_000);
        for same in [
            "2025-10-28 07:58:00",
            "2025-10-28T07:58:00",
            "2025-10-27T23:58:00Z",
            "2025-10-28T07:58:00+08:00",
            "2025-10-28 07:58:00 +0800",
        ] {
            assert_eq!(time(same, &zone), expected, "{same}");
        }
        assert_eq!(time("2025-10-28", &zone), Some(1_761_609_480_000 - (7 * 60 + 58) * 60_000));
        for bad in ["", "x", "2025-13-01", "1761609480", "2025-10-28 25:00:00"] {
            assert_eq!(time(bad, &zone), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_whole_and_have_no_end() {
        assert_eq!([number("7"), number("+7"), number("99999999999999999999")], [Some(7), Some(7), Some(u64::MAX)]);
        assert_eq!(["", "-1", "1.5", "1e3", "+", "٧"].map(number), [None; 6]);
    }
}
