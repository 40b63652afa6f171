//! What pages need beside themselves: one sheet of styles, one script, one picture. They are the same for everybody.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

/// A file beside the pages.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its name below `assets/`.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// All of it.
    pub body: &'static str,
}

pub(crate) const STYLES: Asset =
    Asset { name: "console.css", media_type: "text/css; charset=utf-8", body: include_str!("../assets/console.css") };
pub(crate) const SCRIPT: Asset = Asset {
    name: "console.js",
    media_type: "text/javascript; charset=utf-8",
    body: include_str!("../assets/console.js"),
};
pub(crate) const ICON: Asset =
    Asset { name: "icon.svg", media_type: "image/svg+xml", body: include_str!("../assets/icon.svg") };

const ALL: [&Asset; 3] = [&STYLES, &SCRIPT, &ICON];

/// Of all of them: whoever has a page of this release has its assets.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    for asset in ALL {
        hasher.update(asset.body);
    }
    hex::encode(&hasher.finalize()[..6])
});

impl Asset {
    /// The folder of the assets, as the store serves it.
    pub const FOLDER: &str = "/console/assets/";

    /// The asset at a path.
    #[must_use]
    pub fn find(path: &str) -> Option<&'static Self> {
        let name = path.strip_prefix(Self::FOLDER)?;
        ALL.into_iter().find(|asset| asset.name == name)
    }

    /// What tells the assets of one release from those of another.
    #[must_use]
    pub fn version() -> &'static str {
        &VERSION
    }

    /// Whether a query names this release, so that what is answered is good for ever.
    #[must_use]
    pub fn is_pinned(query: &str) -> bool {
        query.strip_prefix("v=") == Some(Self::version())
    }

    /// A link to it, from a page this far below the root of the console.
    pub(crate) fn link(&self, root: &str) -> String {
        format!("{root}assets/{}?v={}", self.name, Self::version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_found_by_their_own_paths_alone() {
        for asset in ALL {
            let path = format!("{}{}", Asset::FOLDER, asset.name);
            assert_eq!(Asset::find(&path).map(|found| found.name), Some(asset.name));
        }
        for bad in
            ["", "/console/assets/", "/console/assets/../console.css", "/assets/console.css", "/console/console.css"]
        {
            assert!(Asset::find(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_the_version_of_this_release_is_good_for_ever() {
        assert!(Asset::is_pinned(&format!("v={}", Asset::version())));
        for other in ["", "v=", "v=0", &format!("v={}0", Asset::version())] {
            assert!(!Asset::is_pinned(other), "{other}");
        }
    }

    /// A page with all that it needs stays below 60 kB.
    #[test]
    fn assets_are_small() {
        let sum: usize = ALL.iter().map(|asset| asset.body.len()).sum();
        assert!(sum < 30_000, "{sum}");
    }
}
