//! The one reading of the upload path.
//!
//! Promises: the gate reads the caller's path here and forwards [`UploadPath::canonical`], so the store never sees any
//! other form and two readings cannot disagree. Refuses every path that needs normalising first: percent-encoding, dot
//! segments, empty segments, a missing trailing slash, a fragment. No name in this path can need encoding.

use crate::{AppCode, JobId, ModuleName};

/// What stands before `/bkapps/...`: empty, or `/a/b` without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(String);

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrefix {
    /// Does not begin with `/`.
    #[error("must be empty or begin with `/`")]
    NoLeadingSlash,
    /// Ends with `/`.
    #[error("must not end with `/`")]
    TrailingSlash,
    /// `//`, `.`, `..` or a character outside `[A-Za-z0-9._~-]`.
    #[error("segment `{segment}` must be of letters, digits, '.', '_', '~' and '-', and not `.` or `..`")]
    BadSegment {
        /// The segment.
        segment: String,
    },
}

impl PathPrefix {
    /// Checks and takes a prefix.
    ///
    /// # Errors
    /// [`InvalidPrefix`] says which rule it breaks.
    pub fn new(prefix: &str) -> Result<Self, InvalidPrefix> {
        if prefix.is_empty() {
            return Ok(Self(String::new()));
        }
        let segments = prefix.strip_prefix('/').ok_or(InvalidPrefix::NoLeadingSlash)?;
        if segments.ends_with('/') || segments.is_empty() {
            return Err(InvalidPrefix::TrailingSlash);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        let bad = |s: &&str| s.is_empty() || matches!(*s, "." | "..") || !s.bytes().all(plain);
        match segments.split('/').find(bad) {
            Some(segment) => Err(InvalidPrefix::BadSegment { segment: segment.to_owned() }),
            None => Ok(Self(prefix.to_owned())),
        }
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whose package is uploaded: the application and the module in the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadPath {
    /// The application that owns the module.
    pub app_code: AppCode,
    /// The module that takes the package.
    pub module: ModuleName,
}

/// What a path names: where packages are uploaded, or one upload that has begun there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkPath {
    /// Whose package it is.
    pub upload: UploadPath,
    /// Which upload, if one is named.
    pub job: Option<JobId>,
}

impl LinkPath {
    /// Reads a request target (path and query) after one of the prefixes; `None` if it is not ours.
    #[must_use]
    pub fn read(target: &str, prefixes: &[PathPrefix]) -> Option<Self> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        prefixes.iter().find_map(|prefix| Self::read_plain(path.strip_prefix(prefix.as_str())?))
    }

    /// The whole path must match, segment by segment; names admit nothing that could need a second reading.
    fn read_plain(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/bkapps/applications/")?;
        let (app_code, rest) = rest.split_once('/')?;
        let rest = rest.strip_prefix("modules/")?;
        let (module, rest) = rest.split_once('/')?;
        let job = match rest.strip_prefix("source_package/link/")? {
            "" => None,
            rest => Some(rest.strip_suffix('/')?.parse::<JobId>().ok()?),
        };
        let upload = UploadPath { app_code: AppCode::new(app_code).ok()?, module: ModuleName::new(module).ok()? };
        Some(Self { upload, job })
    }

    /// The only form that the store serves.
    #[must_use]
    pub fn canonical(&self) -> String {
        let path = self.upload.canonical();
        match self.job {
            Some(job) => format!("{path}{job}/"),
            None => path,
        }
    }
}

impl UploadPath {
    /// Reads a request target (path and query) after one of the prefixes; `None` if it is not ours.
    #[must_use]
    pub fn read(target: &str, prefixes: &[PathPrefix]) -> Option<Self> {
        LinkPath::read(target, prefixes).filter(|path| path.job.is_none()).map(|path| path.upload)
    }

    /// The only form that the store serves.
    #[must_use]
    pub fn canonical(&self) -> String {
        let (app_code, module) = (self.app_code.as_str(), self.module.as_str());
        ["/bkapps/applications/", app_code, "/modules/", module, "/source_package/link/"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/bkapps/applications/app_code/modules/default/source_package/link/";

    fn read(target: &str) -> Option<String> {
        let prefixes: Vec<_> = ["", "/stag", "/api/bkpaas3/prod"].iter().map(|p| PathPrefix::new(p).unwrap()).collect();
        UploadPath::read(target, &prefixes).map(|p| p.canonical())
    }

    #[test]
    fn every_listed_prefix_leads_to_the_same_canonical_path() {
        for prefix in ["", "/stag", "/api/bkpaas3/prod"] {
            assert_eq!(read(&format!("{prefix}{PATH}")).as_deref(), Some(PATH));
            assert_eq!(read(&format!("{prefix}{PATH}?bk_app_code=x")).as_deref(), Some(PATH));
        }
    }

    #[test]
    fn an_upload_that_has_begun_lies_below_its_place() {
        let below = format!("{PATH}0198c3a4-5f00-7abc-8def-0123456789ab/");
        let prefixes = [PathPrefix::new("/stag").unwrap()];
        let path = LinkPath::read(&format!("/stag{below}?x"), &prefixes).unwrap();
        assert_eq!((path.canonical(), path.upload.canonical().as_str()), (below.clone(), PATH));
        assert_eq!(UploadPath::read(&format!("/stag{below}"), &prefixes), None);
        for bad in
            [below.trim_end_matches('/'), &format!("{below}x"), &below.replace("0198", "019C"), &format!("{PATH}7/")]
        {
            assert_eq!(LinkPath::read(&format!("/stag{bad}"), &prefixes), None, "{bad}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_twice_is_not_ours() {
        let bad = [
            "/bkapps/applications/app_code/modules/default/source_package/link",
            "/bkapps/applications/app_code/modules/default/source_package/link//",
            "/bkapps/applications/app_code/modules/default/source_package/link/x",
            "/bkapps/applications//modules/default/source_package/link/",
            "//bkapps/applications/app_code/modules/default/source_package/link/",
            "/bkapps/applications/app%5Fcode/modules/default/source_package/link/",
            "/bkapps/applications/a%2Fb/modules/default/source_package/link/",
            "/bkapps/applications/./modules/default/source_package/link/",
            "/bkapps/applications/x/../app_code/modules/default/source_package/link/",
            "/stag/../bkapps/applications/app_code/modules/default/source_package/link/",
            "/bkapps/applications/app_code;v=1/modules/default/source_package/link/",
            "/bkapps/applications/app_code/modules/default/source_package/link/#",
            "/BKAPPS/applications/app_code/modules/default/source_package/link/",
            "/other/bkapps/applications/app_code/modules/default/source_package/link/",
            "/stagbkapps/applications/app_code/modules/default/source_package/link/",
            "http://gw/bkapps/applications/app_code/modules/default/source_package/link/",
            "/",
            "",
            "*",
        ];
        for target in bad {
            assert_eq!(read(target), None, "{target}");
        }
    }

    #[test]
    fn prefixes_are_plain_segments() {
        for good in ["", "/stag", "/api/bk-paas3/v1.0"] {
            assert_eq!(PathPrefix::new(good).unwrap().as_str(), good);
        }
        assert_eq!(PathPrefix::new("stag"), Err(InvalidPrefix::NoLeadingSlash));
        assert_eq!(PathPrefix::new("/stag/"), Err(InvalidPrefix::TrailingSlash));
        assert_eq!(PathPrefix::new("/"), Err(InvalidPrefix::TrailingSlash));
        for bad in ["//stag", "/a/../b", "/a%20b", "/a?b", "/é", "/."] {
            assert!(matches!(PathPrefix::new(bad), Err(InvalidPrefix::BadSegment { .. })), "{bad}");
        }
    }
}
