//! Which endpoint a request is for: the one reading of a path.
//!
//! Promises: the gate reads the caller's path here and sends [`Route::canonical_path`] on, so the store never sees any other
//! form and two readings cannot disagree. Refuses every path that needs normalising first: percent-encoding, dot segments,
//! empty segments, a missing slash at the end, a fragment. No name in a path can need encoding.

use super::{Endpoint, Method};
use crate::{FileName, JobId, ModuleRef, PackageId, PathPrefix, PinName};

/// A request's endpoint, and what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The row.
    pub endpoint: &'static Endpoint,
    /// The request's method: the row's, or HEAD in the place of GET.
    pub method: Method,
    /// Whose packages it is about; `None` exactly where the endpoint is of no module.
    pub target: Option<ModuleRef>,
    /// What else the path carries.
    pub params: PathParams,
}

/// What a path carries besides the module. A parameter that the row's path names is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams {
    /// `{job_id}`.
    pub job_id: Option<JobId>,
    /// `{id}`.
    pub package_id: Option<PackageId>,
    /// `{name}`.
    pub pin_name: Option<PinName>,
    /// `{filename}`.
    pub file_name: Option<FileName>,
}

/// Why a request has no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// No row has such a path.
    #[error("no endpoint has this path")]
    UnknownPath,
    /// Rows have the path, but none of them the method.
    #[error("this path takes {allowed}")]
    WrongMethod {
        /// Methods that the path takes, as the header `Allow` lists them.
        allowed: String,
    },
}

impl Endpoint {
    /// Finds the row for a method and a whole path: no prefix before it, no query behind it.
    ///
    /// # Errors
    /// [`NoEndpoint`] says whether the path or only the method is unknown.
    pub fn find(method: &str, path: &str) -> Result<Route, NoEndpoint> {
        let (target, below) = match ModuleRef::split_path(path) {
            Some((target, below)) => (Some(target), below),
            None => (None, path),
        };
        let method = Method::from_name(method);
        let mut allowed = Vec::new();
        for endpoint in Self::ALL.iter().filter(|endpoint| endpoint.is_of_module() == target.is_some()) {
            let Some(params) = PathParams::read_path(endpoint.path, below) else { continue };
            match method.filter(|method| endpoint.takes_method(*method)) {
                Some(method) => return Ok(Route { endpoint, method, target, params }),
                None => allowed.push(endpoint.method),
            }
        }
        if allowed.is_empty() { Err(NoEndpoint::UnknownPath) } else { Err(NoEndpoint::wrong_method(&allowed)) }
    }

    /// Finds the row for a method and a request target, path and query, below one of the prefixes.
    ///
    /// # Errors
    /// As [`Endpoint::find`]; the first prefix below which the path is known decides.
    pub fn find_below(method: &str, target: &str, prefixes: &[PathPrefix]) -> Result<Route, NoEndpoint> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let found = prefixes.iter().filter_map(|prefix| path.strip_prefix(prefix.as_str()));
        let mut found = found.map(|path| Self::find(method, path));
        found.find(|found| *found != Err(NoEndpoint::UnknownPath)).unwrap_or(Err(NoEndpoint::UnknownPath))
    }
}

impl NoEndpoint {
    fn wrong_method(methods: &[Method]) -> Self {
        let with_head = |method: &Method| if *method == Method::Get { "GET, HEAD" } else { method.name() };
        Self::WrongMethod { allowed: methods.iter().map(with_head).collect::<Vec<_>>().join(", ") }
    }
}

impl PathParams {
    /// Holds a path against a row's, segment by segment; the whole of it must match.
    fn read_path(pattern: &str, path: &str) -> Option<Self> {
        let mut params = Self::default();
        let Some((literal, _)) = pattern.split_once('{') else { return (pattern == path).then_some(params) };
        if !path.starts_with(literal) {
            return None;
        }
        let mut segments = path.split('/');
        for expected in pattern.split('/') {
            let segment = segments.next()?;
            match expected {
                "{job_id}" => params.job_id = Some(segment.parse().ok()?),
                "{id}" => params.package_id = Some(segment.parse().ok()?),
                "{name}" => params.pin_name = Some(PinName::new(segment).ok()?),
                "{filename}" => params.file_name = Some(FileName::new(segment).ok()?),
                literal if literal == segment => {}
                _ => return None,
            }
        }
        segments.next().is_none().then_some(params)
    }

    /// What stands in a path for a segment of the row's.
    fn write_segment(&self, expected: &str, path: &mut String) {
        let value = match expected {
            "{job_id}" => self.job_id.map(|id| id.to_string()),
            "{id}" => self.package_id.map(|id| id.to_string()),
            "{name}" => self.pin_name.as_ref().map(ToString::to_string),
            "{filename}" => self.file_name.as_ref().map(ToString::to_string),
            _ => None,
        };
        path.push_str(value.as_deref().unwrap_or(expected));
    }
}

impl Route {
    /// The path as the store serves it, without a prefix: the only one that is read as this route.
    #[must_use]
    pub fn canonical_path(&self) -> String {
        if !self.endpoint.path.contains('{') {
            return self.path_to(self.endpoint.path);
        }
        let mut path = self.path_to("");
        for (at, segment) in self.endpoint.path.split('/').enumerate() {
            if at > 0 {
                path.push('/');
            }
            self.params.write_segment(segment, &mut path);
        }
        path
    }

    /// A path below the packages of its module, or a whole path where it is of none.
    fn path_to(&self, below: &str) -> String {
        self.target.as_ref().map_or_else(|| below.to_owned(), |target| target.path_to(below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    const UPLOAD: &str = "/bkapps/applications/app_code/modules/default/source_package/link/";
    const JOB_ID: &str = "0198c3a4-5f00-7abc-8def-0123456789ab";

    fn prefixes() -> Vec<PathPrefix> {
        ["", "/stag", "/api/bkpaas3/prod"].iter().map(|prefix| PathPrefix::new(prefix).unwrap()).collect()
    }

    fn wrong_method(allowed: &str) -> Result<Route, NoEndpoint> {
        Err(NoEndpoint::WrongMethod { allowed: allowed.to_owned() })
    }

    #[test]
    fn every_row_is_found_by_its_own_path_and_by_no_other_row() {
        for endpoint in Endpoint::ALL {
            let route = endpoint.route.replace("{app_code}", "app").replace("{module}", "default");
            let path = route.replace("{job_id}", JOB_ID).replace("{id}", "7").replace("{name}", "release-1.0");
            let path = path.replace("{filename}", "app-1.0.tar.gz");
            assert!(!path.contains('{'), "{path}: a parameter that nobody reads");
            let found = Endpoint::find(endpoint.method.name(), &path).unwrap();
            assert_eq!((found.endpoint, found.method), (endpoint, endpoint.method));
            assert_eq!(found.canonical_path(), path);
            let target = found.target.map(|target| target.to_string());
            assert_eq!(target.as_deref(), endpoint.is_of_module().then_some("app/default"), "{path}");
            let head = Endpoint::find("HEAD", &path);
            assert_eq!(head.is_ok(), Endpoint::find("GET", &path).is_ok(), "{path}");
        }
    }

    #[test]
    fn every_listed_prefix_leads_to_the_same_canonical_path() {
        for prefix in ["", "/stag", "/api/bkpaas3/prod"] {
            for query in ["", "?", "?bk_app_code=x", "?a?b"] {
                let route = Endpoint::find_below("POST", &format!("{prefix}{UPLOAD}{query}"), &prefixes()).unwrap();
                assert_eq!(route.canonical_path(), UPLOAD);
                assert_eq!(route.endpoint.operation, Operation::UploadSourcePackageViaLink);
            }
        }
    }

    #[test]
    fn a_job_lies_below_its_upload_and_has_one_name() {
        let path = format!("{UPLOAD}{JOB_ID}/");
        let route = Endpoint::find_below("GET", &format!("/stag{path}?x"), &prefixes()).unwrap();
        assert_eq!(route.endpoint.operation, Operation::GetSourcePackageJob);
        assert_eq!(route.params.job_id.map(|id| id.to_string()).as_deref(), Some(JOB_ID));
        assert_eq!(route.canonical_path(), path);
        for bad in
            [path.trim_end_matches('/'), &format!("{path}x"), &path.replace("0198", "019C"), &format!("{UPLOAD}7/")]
        {
            assert_eq!(Endpoint::find("GET", bad), Err(NoEndpoint::UnknownPath), "{bad}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_says_which_it_takes() {
        for method in ["PUT", "DELETE", "PATCH", "post", ""] {
            assert_eq!(Endpoint::find(method, UPLOAD), wrong_method("POST, GET, HEAD"), "{method}");
        }
        for method in ["POST", "DELETE", "get"] {
            assert_eq!(Endpoint::find(method, "/bkapps/applications/"), wrong_method("GET, HEAD"), "{method}");
        }
        let job = format!("{UPLOAD}{JOB_ID}/");
        for method in ["POST", "PUT", "OPTIONS"] {
            assert_eq!(Endpoint::find(method, &job), wrong_method("GET, HEAD, DELETE"), "{method}");
        }
        assert_eq!(
            Endpoint::find_below("POST", &format!("/stag{job}"), &prefixes()),
            wrong_method("GET, HEAD, DELETE")
        );
    }

    #[test]
    fn head_is_routed_wherever_get_is() {
        let route = Endpoint::find("HEAD", &format!("{UPLOAD}{JOB_ID}/")).unwrap();
        assert_eq!((route.endpoint.operation, route.method), (Operation::GetSourcePackageJob, Method::Head));
    }

    #[test]
    fn a_path_that_could_be_read_twice_is_not_ours() {
        let bad = [
            "/bkapps/applications/app_code/modules/default/source_package",
            "/bkapps/applications/app_code/modules/default/source_package/upload/",
            "/bkapps/applications/app_code/modules/default/source_package/upload/a.tgz/",
            "/bkapps/applications/app_code/modules/default/source_package/upload/a%20b",
            "/bkapps/applications/app_code/modules/default/source_package/link",
            "/bkapps/applications/app_code/modules/default/source_package/link//",
            "/bkapps/applications/app_code/modules/default/source_package//link/",
            "/bkapps/applications/app_code/modules/default/source_package/link/x",
            "/bkapps/applications/app_code/modules/default/source_package/link/{job_id}/",
            "/bkapps/applications",
            "/bkapps/applications//",
            "/bkapps/applications/app_code/",
            "/bkapps/applications/./",
            "//bkapps/applications/",
            "/bkapps/",
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
            assert_eq!(Endpoint::find_below("POST", target, &prefixes()), Err(NoEndpoint::UnknownPath), "{target}");
        }
    }
}
