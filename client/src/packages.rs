//! Reads what is stored: lists, packages, usage, events, statements.

use linkgate_contract::{
    EventDocument, Members, ModulePage, ModuleRef, PackageDocument, PackageId, PackageVersion, Page, Sha256,
    SourcePackage, UsageDocument,
};
use url::form_urlencoded;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::statement::Envelope;

/// Which packages to list, and in which order; what is left out does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names and meanings are those of the parameters in docs/REFERENCE.md")]
pub struct PackageQuery {
    pub limit: Option<u32>,
    pub before_id: Option<i64>,
    pub order_by: Option<String>,
    pub search_term: Option<String>,
    pub version: Option<PackageVersion>,
    pub package_name: Option<String>,
    pub sha256_signature: Option<Sha256>,
    pub operator: Option<String>,
    /// `false`, `true` or `all`.
    pub is_deleted: Option<String>,
    pub pinned: Option<bool>,
    pub created_after: Option<String>,
    pub created_before: Option<String>,
    pub updated_after: Option<String>,
    pub updated_before: Option<String>,
    pub offset: Option<u64>,
}

/// Which events to list; what is left out does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names and meanings are those of the parameters in docs/REFERENCE.md")]
pub struct EventQuery {
    pub limit: Option<u32>,
    pub before_id: Option<i64>,
    pub action: Option<String>,
    pub package_id: Option<PackageId>,
}

/// Which modules to list; what is left out does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names and meanings are those of the parameters in docs/REFERENCE.md")]
pub struct ModuleQuery {
    pub limit: Option<u32>,
    pub offset: Option<u64>,
    pub search_term: Option<String>,
}

/// Where the list of modules is.
const MODULES: &str = "/bkapps/applications/";

impl Client {
    /// A page of the modules that have packages and that the caller may read.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_modules(&self, query: &ModuleQuery) -> Result<ModulePage, Error> {
        let call = Call::get_whole(MODULES)
            .query("limit", query.limit)
            .query("offset", query.offset)
            .query("search_term", query.search_term.as_ref());
        self.fetch(&call.header("prefer", Some("handling=strict"))?).await
    }

    /// The page that another one names as its `next`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_modules(&self, page: &ModulePage) -> Result<Option<ModulePage>, Error> {
        match next_query(page.next.as_deref()) {
            Some(query) => self.fetch(&Call { query, ..Call::get_whole(MODULES) }).await.map(Some),
            None => Ok(None),
        }
    }

    /// A page of the packages of a module. A parameter that cannot be read is refused.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_packages(&self, module: &ModuleRef, query: &PackageQuery) -> Result<Page<SourcePackage>, Error> {
        let call = Call::get(module, "")
            .query("limit", query.limit)
            .query("offset", query.offset)
            .query("before_id", query.before_id)
            .query("order_by", query.order_by.as_ref())
            .query("search_term", query.search_term.as_ref())
            .query("version", query.version.as_ref())
            .query("package_name", query.package_name.as_ref())
            .query("sha256_signature", query.sha256_signature)
            .query("operator", query.operator.as_ref())
            .query("is_deleted", query.is_deleted.as_ref())
            .query("pinned", query.pinned)
            .query("created_after", query.created_after.as_ref())
            .query("created_before", query.created_before.as_ref())
            .query("updated_after", query.updated_after.as_ref())
            .query("updated_before", query.updated_before.as_ref());
        self.fetch(&call.header("prefer", Some("handling=strict"))?).await
    }

    /// The page that another one names as its `next`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_packages(
        &self,
        module: &ModuleRef,
        page: &Page<SourcePackage>,
    ) -> Result<Option<Page<SourcePackage>>, Error> {
        match next_query(page.next.as_deref()) {
            Some(query) => self.fetch(&Call { query, ..Call::get(module, "") }).await.map(Some),
            None => Ok(None),
        }
    }

    /// All that is known of a package, also of a deleted one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_package(&self, module: &ModuleRef, id: PackageId) -> Result<PackageDocument, Error> {
        self.fetch(&Call::get(module, format!("{id}/"))).await
    }

    /// The live package of a version.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_version(
        &self,
        module: &ModuleRef,
        version: &PackageVersion,
    ) -> Result<Option<SourcePackage>, Error> {
        let query = PackageQuery { version: Some(version.clone()), limit: Some(1), ..PackageQuery::default() };
        Ok(self.list_packages(module, &query).await?.results.into_iter().next())
    }

    /// What a module and its application take.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_usage(&self, module: &ModuleRef) -> Result<UsageDocument, Error> {
        self.fetch(&Call::get(module, "usage/")).await
    }

    /// A page of what happened to the packages of a module, the latest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_events(&self, module: &ModuleRef, query: &EventQuery) -> Result<Page<EventDocument>, Error> {
        let call = Call::get(module, "events/")
            .query("limit", query.limit)
            .query("before_id", query.before_id)
            .query("action", query.action.as_ref())
            .query("package_id", query.package_id);
        self.fetch(&call.header("prefer", Some("handling=strict"))?).await
    }

    /// The page that another one names as its `next`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next_events(
        &self,
        module: &ModuleRef,
        page: &Page<EventDocument>,
    ) -> Result<Option<Page<EventDocument>>, Error> {
        match next_query(page.next.as_deref()) {
            Some(query) => self.fetch(&Call { query, ..Call::get(module, "events/") }).await.map(Some),
            None => Ok(None),
        }
    }

    /// What is in a package.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_members(&self, module: &ModuleRef, id: PackageId) -> Result<Members, Error> {
        self.fetch(&Call::get(module, format!("{id}/members/"))).await
    }

    /// The signed statement of where a package came from.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_attestation(&self, module: &ModuleRef, id: PackageId) -> Result<Envelope, Error> {
        self.fetch(&Call::get(module, format!("{id}/attestation/"))).await
    }
}

/// The query of the next page. Its address, where it is absolute, is the operator's name of this gateway; ours is the
/// one that works from here.
fn next_query(next: Option<&str>) -> Option<Vec<(String, String)>> {
    let (_, query) = next?.split_once('?')?;
    Some(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_asked_for_by_its_query_wherever_it_stands() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = Some(vec![pair("limit", "2"), pair("search_term", "a b")]);
        assert_eq!(next_query(Some("?limit=2&search_term=a+b")), expected);
        assert_eq!(next_query(Some("https://g.example.com/x/?limit=2&search_term=a%20b")), expected);
        assert_eq!(next_query(None), None);
    }
}
