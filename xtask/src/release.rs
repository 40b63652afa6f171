//! Which release this is: version, commit and date, and the time that all files in what is packed have.
//!
//! Promises: it depends on the sources alone, not on when or where they are built.

use jiff::Timestamp;

use crate::error::{Outcome, Trying};
use crate::run::probe;
use crate::workspace::Workspace;

/// The variables by which programs learn it (`contract/src/release.rs`); who builds without git sets them.
const COMMIT: &str = "LINKGATE_BUILD_COMMIT";
const EPOCH: &str = "SOURCE_DATE_EPOCH";
const DATE: &str = "LINKGATE_BUILD_DATE";

/// A release.
pub struct Release {
    /// The version of all that is ours.
    pub version: String,
    /// The commit; `-modified` behind it if files differ from it.
    pub commit: String,
    /// Its time, in seconds.
    pub epoch: u64,
}

impl Release {
    /// What the sources are now.
    pub fn find(workspace: &Workspace) -> Outcome<Self> {
        let git = |arguments: &[&str]| probe("git", &[&["-C", &workspace.root.to_string_lossy()], arguments].concat());
        let epoch = match given(EPOCH) {
            Some(text) => text.parse().trying(|| format!("read {EPOCH}"))?,
            None => git(&["log", "-1", "--format=%ct"]).and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
        };
        let commit = given(COMMIT).unwrap_or_else(|| {
            let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
            let is_modified =
                git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
            format!("{}{}", commit.trim(), if is_modified { "-modified" } else { "" })
        });
        let version = workspace.packages.first().map_or("unknown", |package| &package.version).to_owned();
        Ok(Self { version, commit, epoch })
    }

    /// The day of the commit, in UTC.
    pub fn date(&self) -> String {
        let time = i64::try_from(self.epoch).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d").to_string()
    }

    /// What programs are built with, so that they can say it.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [(COMMIT, self.commit.clone()), (DATE, self.date())]
    }
}

/// A variable of who builds; an empty one counts as none.
fn given(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (epoch, want) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            let release = Release { version: String::new(), commit: String::new(), epoch };
            assert_eq!(release.date(), want);
        }
    }
}
