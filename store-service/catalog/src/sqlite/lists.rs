//! Pages of packages in the catalog of SQLite.
//!
//! Promises: without a filter a page of live packages is read along an index of its order, and its count from the sums. A
//! filter that names few packages is met first and what it finds is sorted; every other one is held against each package, in
//! the order of the page, until the page is full.

use linkgate_contract::{ModuleRef, Operator};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    CANDIDATES, COUNTED, CatalogError, Count, Liveness, PackageFilter, PackageKey, PackageOrder, PackagePage,
    PackageQuery, TimeSpan,
};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::pages::{acquire, page_failed};
use super::search::Search;
use crate::rows::read_row;
use crate::shared::{direction, signed, unsigned};

/// What a page shows, and what it may be ordered by.
const COLUMNS: &str =
    "id, version, package_name, size_bytes, sha256, is_deleted, created_ms, updated_ms, operator, version_key";
const NEWEST_FIRST: &[PackageOrder] = &[PackageOrder { key: PackageKey::Created, is_descending: true }];

/// A page of a module's packages.
pub(super) async fn list(
    pages: &SqlitePool,
    target: &ModuleRef,
    query: &PackageQuery,
) -> Result<PackagePage, CatalogError> {
    let mut connection = acquire(pages).await?;
    read_page(&mut connection, target, query).await.map_err(page_failed)
}

async fn read_page(
    connection: &mut SqliteConnection,
    target: &ModuleRef,
    query: &PackageQuery,
) -> Result<PackagePage, sqlx::Error> {
    let PackageFilter { deletion, terms, .. } = &query.filter;
    let search = Search::prepare(connection, target, *deletion, terms).await?;
    if search == Search::NoMatch {
        return Ok(PackagePage { rows: Vec::new(), has_more: false, count: Count::Exactly(0) });
    }
    let list = List { target, query, search, now_ms: now_ms() };
    let rows = list.page()?.build().fetch_all(&mut *connection).await?;
    let mut rows = rows.iter().map(read_row).collect::<Result<Vec<_>, _>>()?;
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let count = list.count(connection, rows.len() as u64, has_more).await?;
    Ok(PackagePage { rows, has_more, count })
}

/// A list that is asked for.
struct List<'a> {
    target: &'a ModuleRef,
    query: &'a PackageQuery,
    search: Search,
    now_ms: i64,
}

impl List<'_> {
    /// Whether the filter names few packages: then no index of the module's is of use.
    fn is_narrow(&self) -> bool {
        let PackageFilter { sha256, is_pinned, .. } = &self.query.filter;
        matches!(self.search, Search::Index { .. }) || sha256.is_some() || *is_pinned == Some(true)
    }

    /// The parts of which it is put together: live and deleted packages have indexes of their own.
    fn parts(&self) -> &'static [Option<bool>] {
        match self.query.filter.deletion {
            Liveness::Live => &[Some(false)],
            Liveness::Deleted => &[Some(true)],
            Liveness::All if self.is_narrow() => &[None],
            Liveness::All => &[Some(false), Some(true)],
        }
    }

    /// One row more than the page has, to see whether there is one.
    fn page(&self) -> Result<QueryBuilder<Sqlite>, sqlx::Error> {
        let (limit, offset) = (i64::from(self.query.limit) + 1, signed(self.query.offset.min(u64::from(u32::MAX)))?);
        let mut sql = QueryBuilder::new("");
        if let [part] = self.parts() {
            self.push_part(&mut sql, *part);
        } else {
            sql.push("select ").push(COLUMNS).push(" from (");
            for (at, part) in self.parts().iter().enumerate() {
                sql.push(if at > 0 { " union all select * from (" } else { "select * from (" });
                self.push_part(&mut sql, *part);
                sql.push(" limit ").push_bind(limit + offset).push(")");
            }
            sql.push(")");
            self.push_order(&mut sql);
        }
        sql.push(" limit ").push_bind(limit).push(" offset ").push_bind(offset);
        Ok(sql)
    }

    fn push_part(&self, sql: &mut QueryBuilder<Sqlite>, is_deleted: Option<bool>) {
        sql.push("select ").push(COLUMNS);
        self.push_conditions(sql, is_deleted);
        if let Some(before) = self.query.before {
            sql.push(" and id < ").push_bind(before.row());
        }
        self.push_order(sql);
    }

    fn push_order(&self, sql: &mut QueryBuilder<Sqlite>) {
        let order = if self.query.order.is_empty() { NEWEST_FIRST } else { &self.query.order };
        // Few packages have one name. A plus keeps SQLite from going through all of them for an order that need not be sorted.
        let plus = if self.query.filter.package_name.is_some() { "+" } else { "" };
        let mut separator = " order by ";
        for PackageOrder { key, is_descending } in order {
            sql.push(separator).push(plus).push(column(*key)).push(direction(*is_descending));
            separator = ", ";
        }
        if let Some(last) = order.last().filter(|last| last.key != PackageKey::Id) {
            sql.push(", id").push(direction(last.is_descending));
        }
    }

    /// From `from` to the last condition of the filter.
    fn push_conditions(&self, sql: &mut QueryBuilder<Sqlite>, is_deleted: Option<bool>) {
        let filter = &self.query.filter;
        // A plus keeps SQLite from going along an index of the module's packages.
        let plus = if self.is_narrow() { "+" } else { "" };
        sql.push(" from source_package where ").push(plus).push("app_code = ").push_bind(self.target.app.as_str());
        sql.push(" and ").push(plus).push("module = ").push_bind(self.target.module.as_str());
        if let Some(is_deleted) = is_deleted {
            sql.push(if is_deleted { " and is_deleted = 1" } else { " and is_deleted = 0" });
        }
        self.search.push_conditions(sql);
        push_equal(sql, "sha256", filter.sha256.map(|digest| digest.to_string()).as_deref());
        push_equal(sql, "version", filter.version.as_ref().map(|version| version.as_str()));
        push_equal(sql, "package_name", filter.package_name.as_deref());
        push_equal(sql, "operator", filter.operator.as_ref().map(Operator::as_str));
        push_span(sql, "created_ms", filter.created);
        push_span(sql, "updated_ms", filter.updated);
        if let Some(is_pinned) = filter.is_pinned {
            sql.push(if is_pinned { " and id in (" } else { " and id not in (" });
            sql.push("select package_id from pin where until_ms is null or until_ms > ")
                .push_bind(self.now_ms)
                .push(")");
        }
    }

    /// As many as are shown, if these are all; the sums of the module, if nothing is filtered; else they are counted, but only so far.
    async fn count(&self, connection: &mut SqliteConnection, shown: u64, has_more: bool) -> Result<Count, sqlx::Error> {
        let PackageQuery { filter, before, offset, .. } = self.query;
        let seen = offset.saturating_add(shown);
        if before.is_none() && !has_more && (shown > 0 || *offset == 0) {
            return Ok(Count::Exactly(seen));
        }
        if *filter == PackageFilter::default() {
            return self.sum(connection).await.map(Count::Exactly);
        }
        let least = if shown > 0 { seen + u64::from(has_more) } else { 0 };
        let only_terms = PackageFilter { terms: filter.terms.clone(), ..PackageFilter::default() };
        if matches!(self.search, Search::EachPackage { are_many: true, .. }) && *filter == only_terms {
            return Ok(Count::AtLeast(least.max(u64::from(CANDIDATES) + 1)));
        }
        let counted: i64 = self.counting()?.build_query_scalar().fetch_one(connection).await?;
        let counted = unsigned(counted)?;
        Ok(if counted > COUNTED { Count::AtLeast(counted.max(least)) } else { Count::Exactly(counted) })
    }

    async fn sum(&self, connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
        let live = sqlx::query_scalar("select live_packages from module_usage where app_code = ? and module = ?")
            .bind(self.target.app.as_str())
            .bind(self.target.module.as_str())
            .fetch_optional(connection)
            .await?;
        unsigned(live.unwrap_or_default())
    }

    fn counting(&self) -> Result<QueryBuilder<Sqlite>, sqlx::Error> {
        let mut sql = QueryBuilder::new("select count(*) from (");
        for (at, part) in self.parts().iter().enumerate() {
            sql.push(if at > 0 { " union all select * from (select 1" } else { "select * from (select 1" });
            self.push_conditions(&mut sql, *part);
            sql.push(" limit ").push_bind(signed(COUNTED + 1)?).push(")");
        }
        sql.push(")");
        Ok(sql)
    }
}

fn column(key: PackageKey) -> &'static str {
    match key {
        PackageKey::Id => "id",
        PackageKey::Version => "version",
        PackageKey::NaturalVersion => "version_key",
        PackageKey::PackageName => "package_name",
        PackageKey::PackageSize => "size_bytes",
        PackageKey::Created => "created_ms",
        PackageKey::Updated => "updated_ms",
    }
}

fn push_equal(sql: &mut QueryBuilder<Sqlite>, column: &str, value: Option<&str>) {
    if let Some(value) = value {
        sql.push(" and ").push(column).push(" = ").push_bind(value);
    }
}

fn push_span(sql: &mut QueryBuilder<Sqlite>, column: &str, span: TimeSpan) {
    if let Some(from) = span.from_ms {
        sql.push(" and ").push(column).push(" >= ").push_bind(from);
    }
    if let Some(until) = span.until_ms {
        sql.push(" and ").push(column).push(" < ").push_bind(until);
    }
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{AppCode, ModuleName, PackageId, PackageVersion, Sha256};
    use linkgate_store_core::settings::QueueLimits;
    use sqlx::Row as _;

    use super::*;
    use crate::SqliteCatalog;

    const KEYS: [(PackageKey, &str); 7] = [
        (PackageKey::Id, "page"),
        (PackageKey::Version, "live"),
        (PackageKey::NaturalVersion, "by_natural_version"),
        (PackageKey::PackageName, "by_name"),
        (PackageKey::PackageSize, "by_size"),
        (PackageKey::Created, "by_created"),
        (PackageKey::Updated, "by_updated"),
    ];

    async fn catalog() -> (tempfile::NamedTempFile, SqliteCatalog) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        (file, catalog)
    }

    /// How SQLite reads what is asked for.
    async fn plan(catalog: &SqliteCatalog, query: &PackageQuery, is_count: bool) -> String {
        let target = ModuleRef { app: AppCode::new("app").unwrap(), module: ModuleName::new("default").unwrap() };
        let mut connection = catalog.writer.acquire().await.unwrap();
        let PackageFilter { deletion, terms, .. } = &query.filter;
        let search = Search::prepare(&mut connection, &target, *deletion, terms).await.unwrap();
        let list = List { target: &target, query, search, now_ms: 0 };
        let mut asked = if is_count { list.counting().unwrap() } else { list.page().unwrap() };
        let plan = sqlx::AssertSqlSafe(format!("explain query plan {}", asked.sql().as_str()));
        let _built = asked.build();
        let steps = sqlx::query(plan).fetch_all(&mut *connection).await.unwrap();
        steps.iter().map(|step| step.get("detail")).collect::<Vec<String>>().join("; ")
    }

    #[tokio::test]
    async fn every_order_goes_along_its_index_and_sorts_nothing() {
        let (_file, catalog) = catalog().await;
        for (key, index) in KEYS {
            for is_descending in [false, true] {
                let query =
                    PackageQuery { order: vec![PackageOrder { key, is_descending }], limit: 100, ..Default::default() };
                let expected =
                    format!("SEARCH source_package USING INDEX source_package_{index} (app_code=? AND module=?)");
                assert_eq!(plan(&catalog, &query, false).await, expected, "{key:?} {is_descending}");
            }
        }
        let default = plan(&catalog, &PackageQuery::default(), false).await;
        assert_eq!(default, "SEARCH source_package USING INDEX source_package_by_created (app_code=? AND module=?)");
    }

    #[tokio::test]
    async fn a_walk_begins_where_the_last_page_ended() {
        let (_file, catalog) = catalog().await;
        let order = vec![PackageOrder { key: PackageKey::Id, is_descending: true }];
        let query = PackageQuery { order, before: Some(PackageId::from_row(7)), ..Default::default() };
        let walk = plan(&catalog, &query, false).await;
        assert_eq!(walk, "SEARCH source_package USING INDEX source_package_page (app_code=? AND module=? AND rowid<?)");
    }

    #[tokio::test]
    async fn what_names_few_packages_is_met_first() {
        let (_file, catalog) = catalog().await;
        let with = |filter: PackageFilter| PackageQuery { filter, limit: 100, ..Default::default() };
        let version = PackageFilter { version: Some(PackageVersion::new("1").unwrap()), ..Default::default() };
        let digest = PackageFilter { sha256: Some(Sha256::from_bytes([1; 32])), ..Default::default() };
        let all = PackageFilter { deletion: Liveness::All, ..digest.clone() };
        let name = PackageFilter { package_name: Some("a".into()), ..Default::default() };
        for (filter, index) in [
            (version, "source_package_live (app_code=? AND module=? AND version=?)"),
            (digest, "source_package_sha256 (sha256=?)"),
            (all, "source_package_sha256 (sha256=?)"),
            (name, "source_package_by_name (app_code=? AND module=? AND package_name=?)"),
        ] {
            for is_count in [false, true] {
                let plan = plan(&catalog, &with(filter.clone()), is_count).await;
                assert!(plan.contains(index), "{filter:?}: {plan}");
            }
        }
        let pinned = PackageFilter { is_pinned: Some(true), ..Default::default() };
        let plan = plan(&catalog, &with(pinned), false).await;
        assert!(plan.contains("SEARCH source_package USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
    }

    #[tokio::test]
    async fn deleted_packages_have_an_index_of_their_own() {
        let (_file, catalog) = catalog().await;
        let order = vec![PackageOrder { key: PackageKey::Id, is_descending: true }];
        let with = |deletion| PackageQuery {
            filter: PackageFilter { deletion, ..Default::default() },
            order: order.clone(),
            limit: 100,
            ..Default::default()
        };
        let deleted = plan(&catalog, &with(Liveness::Deleted), false).await;
        assert_eq!(deleted, "SEARCH source_package USING INDEX source_package_deleted_page (app_code=? AND module=?)");
        let all = plan(&catalog, &with(Liveness::All), false).await;
        for index in
            ["source_package_page (app_code=? AND module=?)", "source_package_deleted_page (app_code=? AND module=?)"]
        {
            assert!(all.contains(index), "{all}");
        }
        assert!(!all.contains("SCAN source_package"), "{all}");
    }
}
