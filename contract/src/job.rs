//! The name of an upload that has begun.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::SourcePackage;

/// A UUID in its canonical form: 36 characters, hexadecimal digits in lower case. So no job has two names, and none needs
/// encoding in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(Uuid);

/// The text is no UUID in the canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no UUID of 36 characters in lower case")]
pub struct InvalidJobId;

impl JobId {
    /// Takes a UUID.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// Reads the canonical form, and none of the others that UUIDs are written in.
impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let id = Uuid::try_parse(text).map_err(|_| InvalidJobId)?;
        let canonical = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
        if canonical { Ok(Self(id)) } else { Err(InvalidJobId) }
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for others to end.
    Queued,
    /// It is being downloaded.
    Fetching,
    /// All bytes are here; they are made durable and recorded.
    Storing,
    /// The package is stored.
    Done,
    /// It is not, and will not be.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 6] = [Self::Queued, Self::Fetching, Self::Storing, Self::Done, Self::Failed, Self::Cancelled];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Fetching => "fetching",
            Self::Storing => "storing",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// An upload by link, as callers read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobDocument {
    /// The name of the job. Newer ones are greater.
    pub job_id: JobId,
    /// How far it is.
    pub state: JobState,
    /// Bytes that have come.
    pub received_bytes: u64,
    /// Bytes that will come; null: the source did not say.
    pub total_bytes: Option<u64>,
    /// How often the store called the source.
    pub attempts: u32,
    /// When it was asked for: `YYYY-MM-DD HH:MM:SS` in the store's time zone.
    pub created: String,
    /// When the download began, in the same form; null: not yet.
    pub started: Option<String>,
    /// When it ended; null: not yet.
    pub ended: Option<String>,
    /// Only when `done`: what an upload that is waited for replies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<SourcePackage>,
    /// Only when `failed` or `cancelled`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
}

/// Why an upload by link ended without a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobError {
    /// The code that a caller who waited was answered with.
    pub code: String,
    /// What is wrong, in the language of the request.
    pub detail: String,
    /// What programs need to know of it, where there is more than the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";

    #[test]
    fn the_canonical_form_is_read_and_written() {
        let id: JobId = TEXT.parse().unwrap();
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(JobId::from_uuid(Uuid::max()).to_string(), "ffffffff-ffff-ffff-ffff-ffffffffffff");
    }

    #[test]
    fn no_other_form_is() {
        let plain = TEXT.replace('-', "");
        for bad in [
            "",
            "x",
            &plain,
            &TEXT.to_uppercase(),
            &TEXT[1..],
            &format!("{TEXT}0"),
            &TEXT.replace('a', "g"),
            &format!("{{{TEXT}}}"),
            &format!("urn:uuid:{TEXT}"),
            &TEXT.replacen('-', "0", 1),
            "-198c3a45-f00-7abc-8def-0123456789ab",
            "0198c3a4-5f00-7abc-8def-0123456789é",
        ] {
            assert_eq!(bad.parse::<JobId>(), Err(InvalidJobId), "{bad}");
        }
    }
}
