//! The endpoints: one table, which the gate routes and judges by and the store dispatches by.
//!
//! Promises: an endpoint is one row here and one handler in the store; the gate and the store find it with the same
//! function, so no request is one endpoint to the gate and another to the store. Refuses what a row does not name: other
//! methods, query parameters that it does not list, bodies where it takes none.

mod query;
mod route;

use crate::Action;

pub use query::{CREDENTIAL_NAMES, UNKNOWN_PARAMETER};
pub use route::{NoEndpoint, PathParams, Route};

/// A method of HTTP that an endpoint may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads, and is answered without the body. No row has it: it is routed wherever GET is.
    Head,
    /// Begins something.
    Post,
    /// Puts something to a place that the path names.
    Put,
    /// Ends something.
    Delete,
}

impl Method {
    /// Reads the name on the wire, in this case and no other.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete].into_iter().find(|method| method.name() == name)
    }

    /// Whether it only reads.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// The body that an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// None; one that is sent is too large with its first byte.
    None,
    /// A JSON object or a form of the same fields, read whole and within the limit of bodies.
    Json,
    /// A package, passed on while it comes.
    Stream,
}

/// What an endpoint answers with when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// A package, or the job that uploads it if the caller does not wait.
    Package,
    /// A job.
    Job,
    /// The bytes of a package, all of them or a range.
    Bytes,
    /// The signed statement of where a package came from.
    Statement,
    /// A link by which others download, and when it ends.
    DownloadUrl,
    /// All that is known of a package.
    PackageDetail,
    /// A pin.
    Pin,
    /// What retention rules would delete.
    Plan,
    /// A page of packages.
    PackagePage,
    /// What a module and its application take.
    Usage,
    /// A page of what happened to packages.
    EventPage,
    /// Uploads by link of a module.
    JobPage,
    /// What is in a package.
    Members,
    /// A page of modules.
    ModulePage,
    #[cfg(feature = "test-endpoint")]
    /// The query that reached the store.
    Query,
}

/// An action that a request needs besides its endpoint's, because its query asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraAction {
    /// The parameter that asks for it, with the value `true`.
    pub parameter: &'static str,
    /// What a grant must give then, too.
    pub action: Action,
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Which one it is, for a `match` that the compiler holds complete.
    pub operation: Operation,
    /// Its method.
    pub method: Method,
    /// Its path below the packages of a module, with names in braces for what the path carries; of one that is about no module,
    /// its whole path.
    pub path: &'static str,
    /// Its whole path without the gateway's prefix, with names in braces, as traces show it.
    pub route: &'static str,
    /// What a grant must give.
    pub action: Action,
    /// The body that it takes.
    pub body: BodyKind,
    /// The query parameters that reach the store.
    pub query: &'static [&'static str],
    /// What some of them ask for besides.
    pub extra: &'static [ExtraAction],
    /// What it answers with.
    pub reply: ReplyKind,
}

impl Operation {
    /// Whether it begins an upload.
    #[must_use]
    pub fn is_upload(self) -> bool {
        matches!(self, Self::UploadSourcePackageViaLink | Self::UploadSourcePackage | Self::PutSourcePackage)
    }
}

/// The whole path of a row.
macro_rules! route {
    (whole $path:literal) => {
        $path
    };
    ($path:literal) => {
        concat!("/bkapps/applications/{app_code}/modules/{module}/source_package/", $path)
    };
}

macro_rules! endpoints {
    ($(
        $(#[cfg($cfg:meta)])?
        #[doc = $summary:literal]
        $operation:ident = $id:literal {
            $method:ident $($whole:ident)? $path:literal, action: $action:ident, body: $body:ident, query: $query:expr, reply: $reply:ident
            $(, extra: [$(($parameter:literal, $extra:ident)),*])? $(,)?
        }
    )*) => {
        /// The name of an endpoint.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation {
            $($(#[cfg($cfg)])? #[doc = $summary] $operation,)*
        }

        impl Operation {
            /// The operation id: its name in metrics, messages and API documents.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self {
                    $($(#[cfg($cfg)])? Self::$operation => $id,)*
                }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self {
                    $($(#[cfg($cfg)])? Self::$operation => $summary.trim_ascii(),)*
                }
            }
        }

        impl Endpoint {
            /// The table.
            pub const ALL: &'static [Self] = &[$(
                $(#[cfg($cfg)])?
                Self {
                    operation: Operation::$operation,
                    method: Method::$method,
                    path: $path,
                    route: route!($($whole)? $path),
                    action: Action::$action,
                    body: BodyKind::$body,
                    query: &$query,
                    extra: &[$($(ExtraAction { parameter: $parameter, action: Action::$extra }),*)?],
                    reply: ReplyKind::$reply,
                },
            )*];
        }
    };
}

endpoints! {
    /// Uploads a package from a link.
    UploadSourcePackageViaLink = "upload_source_package_via_link" {
        Post "link/", action: Upload, body: Json, query: [], reply: Package,
    }
    /// Shows an upload by link that has begun, or tells how it goes until it ends.
    GetSourcePackageJob = "get_source_package_job" {
        Get "link/{job_id}/", action: Upload, body: None, query: [], reply: Job,
    }
    /// Cancels an upload by link.
    CancelSourcePackageJob = "cancel_source_package_job" {
        Delete "link/{job_id}/", action: Upload, body: None, query: [], reply: Job,
    }
    /// Downloads a package.
    DownloadSourcePackage = "download_source_package" {
        Get "{id}/download/", action: Download, body: None, query: [], reply: Bytes,
    }
    /// Shows the signed statement of where a package came from.
    GetSourcePackageAttestation = "get_source_package_attestation" {
        Get "{id}/attestation/", action: Read, body: None, query: [], reply: Statement,
    }
    /// Makes a link by which whoever has it downloads a package, for a while.
    CreateSourcePackageDownloadUrl = "create_source_package_download_url" {
        Post "{id}/download_url/", action: Sign, body: Json, query: [], reply: DownloadUrl,
    }
    /// Uploads a package that the caller sends, in a form or as it is.
    UploadSourcePackage = "upload_source_package" {
        Post "", action: Upload, body: Stream, query: ["version", "filename", "allow_overwrite", "sha256", "size"], reply: Package,
    }
    /// Uploads a package that the caller sends as it is, under the name in the path.
    PutSourcePackage = "put_source_package" {
        Put "upload/{filename}", action: Upload, body: Stream, query: ["version", "allow_overwrite", "sha256", "size"], reply: Package,
    }
    /// Deletes a package, which can be restored for a while.
    DeleteSourcePackage = "delete_source_package" {
        Delete "{id}/", action: Delete, body: None, query: ["force"], reply: PackageDetail,
        extra: [("force", ForceDelete)],
    }
    /// Restores a deleted package.
    RestoreSourcePackage = "restore_source_package" {
        Post "{id}/restore/", action: Restore, body: Json, query: [], reply: PackageDetail,
    }
    /// Pins a package, so that nothing deletes it.
    PinSourcePackage = "pin_source_package" {
        Put "{id}/pins/{name}/", action: Pin, body: Json, query: [], reply: Pin,
    }
    /// Takes a pin away.
    UnpinSourcePackage = "unpin_source_package" {
        Delete "{id}/pins/{name}/", action: Pin, body: None, query: [], reply: Pin,
    }
    /// Shows what the retention rules would delete.
    ExplainSourcePackageCleanup = "explain_source_package_cleanup" {
        Get "cleanup/", action: Cleanup, body: None, query: [], reply: Plan,
    }
    /// Deletes what a plan of the retention rules names.
    RunSourcePackageCleanup = "run_source_package_cleanup" {
        Post "cleanup/", action: Cleanup, body: Json, query: [], reply: Plan,
    }
    /// Lists the packages of a module, page by page.
    ListSourcePackages = "list_source_packages" {
        Get "", action: Read, body: None,
        query: [
            "limit", "offset", "before_id", "order_by", "search_term", "version", "package_name", "sha256_signature",
            "operator", "is_deleted", "pinned", "created_after", "created_before", "updated_after", "updated_before",
            UNKNOWN_PARAMETER
        ],
        reply: PackagePage,
    }
    /// Shows a package.
    GetSourcePackage = "get_source_package" {
        Get "{id}/", action: Read, body: None, query: [], reply: PackageDetail,
    }
    /// Shows what a module and its application take.
    GetSourcePackageUsage = "get_source_package_usage" {
        Get "usage/", action: Read, body: None, query: [], reply: Usage,
    }
    /// Lists what happened to the packages of a module, the latest first.
    ListSourcePackageEvents = "list_source_package_events" {
        Get "events/", action: Read, body: None,
        query: ["limit", "before_id", "action", "package_id", UNKNOWN_PARAMETER], reply: EventPage,
    }
    /// Lists the uploads by link of a module, the latest first.
    ListSourcePackageJobs = "list_source_package_jobs" {
        Get "link/", action: Upload, body: None, query: ["limit", UNKNOWN_PARAMETER], reply: JobPage,
    }
    /// Lists what is in a package.
    ListSourcePackageMembers = "list_source_package_members" {
        Get "{id}/members/", action: Download, body: None, query: [], reply: Members,
    }
    /// Lists the modules that have packages and that the caller may read, page by page.
    ListModules = "list_modules" {
        Get whole "/bkapps/applications/", action: Read, body: None,
        query: ["limit", "offset", "search_term", UNKNOWN_PARAMETER], reply: ModulePage,
    }
    #[cfg(feature = "test-endpoint")]
    /// Shows the query that reached the store; only for tests.
    ShowTestQuery = "show_test_query" {
        Get "test/query/", action: Test, body: None, query: ["say", "bk_token"], reply: Query,
    }
}

impl Endpoint {
    /// Whether it is about the packages of one module, which its path names.
    #[must_use]
    pub fn is_of_module(&self) -> bool {
        !self.path.starts_with('/')
    }

    /// Whether a request with this method is for it, if the path is.
    #[must_use]
    pub fn takes_method(&self, method: Method) -> bool {
        self.method == method || (self.method == Method::Get && method == Method::Head)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::ModuleRef;

    #[test]
    fn every_row_is_fit_for_routing() {
        let mut seen = HashSet::new();
        for endpoint in Endpoint::ALL {
            let id = endpoint.operation.id();
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{id}");
            assert!(seen.insert(id), "{id} is there twice");
            assert!(seen.insert(&format!("{} {}", endpoint.method.name(), endpoint.path).leak()[..]), "{id}");
            assert_ne!(endpoint.method, Method::Head, "{id}: HEAD comes with GET");
            // A client that puts a file writes its name last.
            let is_file = endpoint.path.ends_with("/{filename}");
            assert!(endpoint.path.is_empty() || endpoint.path.ends_with('/') || is_file, "{id}");
            let before = if endpoint.is_of_module() { ModuleRef::PATTERN } else { "" };
            assert_eq!(endpoint.route, format!("{before}{}", endpoint.path), "{id}");
            for extra in endpoint.extra {
                assert!(
                    endpoint.query.contains(&extra.parameter),
                    "{id}: {} does not reach the store",
                    extra.parameter
                );
            }
            let summary = endpoint.operation.summary();
            assert!(summary.ends_with('.') && summary.trim() == summary, "{id}: {summary:?}");
        }
    }

    #[test]
    fn methods_are_read_as_they_stand_on_the_wire() {
        for method in [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete] {
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
        for other in ["", "get", "PATCH", "OPTIONS", "GET "] {
            assert_eq!(Method::from_name(other), None, "{other:?}");
        }
    }
}
