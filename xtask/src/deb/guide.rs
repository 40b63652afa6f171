//! The commands of the operator's guide: every block of `sh` in one section of a document, in order.

use std::fs;

use crate::error::{Failure, Outcome, Trying};
use crate::workspace::Workspace;

const FILE: &str = "docs/DEPLOYMENT.md";
const SECTION: &str = "\n## Debian\n";

/// The blocks.
pub struct Guide(Vec<String>);

impl Guide {
    /// Reads them.
    pub fn read(workspace: &Workspace) -> Outcome<Self> {
        let text = fs::read_to_string(workspace.path(FILE)).trying(|| format!("read {FILE}"))?;
        Self::parse(&text).ok_or_else(|| Failure::new(format!("{FILE} has no section `Debian` with commands")))
    }

    fn parse(text: &str) -> Option<Self> {
        let (_, section) = text.split_once(SECTION)?;
        let section = section.split("\n## ").next()?;
        let blocks = section.split("```sh\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
        let blocks: Vec<_> = blocks.collect();
        (!blocks.is_empty()).then_some(Self(blocks))
    }

    /// One script that ends at the first command that fails, and shows each.
    pub fn script(&self) -> String {
        format!("set -euxo pipefail\n{}", self.0.concat())
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|block| block.lines().count()).sum()
    }

    /// The versions of the packages that are installed, each once.
    pub fn packages(&self) -> Vec<String> {
        let words = self.0.iter().flat_map(|block| block.split_whitespace());
        let mut versions: Vec<_> =
            words.filter_map(|word| word.strip_prefix("./linkgate_")?.split('_').next()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# D\n```sh\nno\n```\n## Debian\n\nText.\n\n```sh\napt-get install ./linkgate_1.0_amd64.deb\na\n```\n\n```\nnot this\n```\n\n```sh\napt-get install ./linkgate_0.9_amd64.deb ./linkgate_1.0_amd64.deb\n```\n## Other\n```sh\nno\n```\n";

    #[test]
    fn the_blocks_of_the_section_are_taken_in_order() {
        let guide = Guide::parse(TEXT).unwrap();
        assert_eq!(guide.count(), 3);
        assert!(guide.script().starts_with("set -euxo pipefail\napt-get install ./linkgate_1.0_amd64.deb\na\napt-get"));
        assert_eq!(guide.packages(), ["0.9", "1.0"]);
    }

    #[test]
    fn a_document_without_commands_is_refused() {
        for text in ["# D\n", "\n## Debian\n\nText.\n"] {
            assert!(Guide::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_guide_of_the_sources_has_all_that_is_promised() {
        let script = Guide::read(&Workspace::find().unwrap()).unwrap().script();
        for command in [
            "policy deploy",
            "push",
            "/metrics",
            "mv /etc/linkgate/tls",
            "backup",
            "restore",
            "--allow-downgrades",
            "purge",
        ] {
            assert!(script.contains(command), "{command}");
        }
    }
}
