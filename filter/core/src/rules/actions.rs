//! What a grant lets its callers do.

use std::borrow::Cow;
use std::fmt;

use linkgate_contract::{Action, UnknownAction};
use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

fn bit(action: Action) -> u16 {
    1 << action as u16
}

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actions(u16);

impl Default for Actions {
    /// What a grant gives that names no actions: no grant learns to delete by an upgrade.
    fn default() -> Self {
        Action::DEFAULT.iter().copied().collect()
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | bit(action)))
    }
}

impl Actions {
    /// Every action.
    pub(crate) fn all() -> Self {
        Action::ALL.iter().copied().collect()
    }

    pub(crate) fn contains(self, action: Action) -> bool {
        self.0 & bit(action) != 0
    }

    /// Each of them, in the order in which documents list them.
    pub(crate) fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.contains(*action))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions that the other set lacks.
    pub(crate) fn beyond(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// As a verb of a sentence: `upload and read`.
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("do everything");
        }
        let contained = Action::ALL.iter().filter(|action| self.contains(**action));
        let names: Vec<_> = contained.map(|action| action.name()).collect();
        match names.split_last() {
            Some((last, rest)) if !rest.is_empty() => write!(f, "{} and {last}", rest.join(", ")),
            _ => f.write_str(names.first().unwrap_or(&"do nothing")),
        }
    }
}

/// One entry of a list: an action, or `*` for every one.
struct Entry(Actions);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if text == "*" {
            return Ok(Self(Actions::all()));
        }
        match text.parse() {
            Ok(action) => Ok(Self([action].into_iter().collect())),
            Err(UnknownAction { .. }) => {
                let names: Vec<_> = Action::ALL.iter().map(|action| format!("`{action}`")).collect();
                Err(D::Error::custom(format!("unknown action `{text}`, expected {} or `*`", names.join(", "))))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadActions)
    }
}

/// Reads a list of actions, or `"*"`.
struct ReadActions;

impl<'de> Visitor<'de> for ReadActions {
    type Value = Actions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of actions, or \"*\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Actions, E> {
        if text == "*" { Ok(Actions::all()) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Actions, A::Error> {
        let mut actions = Actions(0);
        while let Some(entry) = list.next_element()? {
            let Entry(some) = entry;
            actions.0 |= some.0;
        }
        Ok(actions)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Actions, String> {
        Actions::deserialize(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_or_a_star_names_actions() {
        let read_only = read(json!(["read"])).unwrap();
        assert!(read_only.contains(Action::Read) && !read_only.contains(Action::Upload));
        assert_eq!(read(json!(["read", "upload", "read"])), Ok(Actions::default()));
        assert_eq!(read(json!("*")), Ok(Actions::all()));
        assert_eq!(read(json!(["read", "*"])), Ok(Actions::all()));
        assert!(read(json!([])).unwrap().is_empty());
        for &action in Action::ALL {
            assert_eq!(read(json!([action.name()])), Ok([action].into_iter().collect()));
        }
    }

    #[test]
    fn what_is_no_action_is_named_with_those_that_are() {
        let expected = Action::ALL.iter().map(|action| format!("`{action}`")).collect::<Vec<_>>().join(", ");
        let expected = format!("expected {expected} or `*`");
        assert_eq!(read(json!(["write"])), Err(format!("unknown action `write`, {expected}")));
        assert_eq!(read(json!(["Read"])), Err(format!("unknown action `Read`, {expected}")));
        let message = "invalid value: string \"read\", expected a list of actions, or \"*\"";
        assert_eq!(read(json!("read")), Err(message.to_owned()));
        assert!(read(json!([7])).is_err() && read(json!(null)).is_err() && read(json!({})).is_err());
    }

    #[test]
    fn a_set_reads_as_a_verb() {
        let text = |value: Value| read(value).unwrap().to_string();
        assert_eq!(text(json!(["read"])), "read");
        assert_eq!(text(json!(["delete", "read", "upload"])), "upload, read and delete");
        assert_eq!(text(json!("*")), "do everything");
        assert_eq!(text(json!([])), "do nothing");
        assert_eq!(Actions::all().beyond(Actions::default()).beyond(Actions::all()), read(json!([])).unwrap());
    }
}
