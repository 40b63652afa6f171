//! Pages of packages in the catalog of PostgreSQL.
//!
//! Promises: without a filter a page of live packages is read along an index of its order, and its count from the sums. A
//! filter that names few packages is met first, whatever the server expects of it, and what it finds is sorted; every other
//! one is held against each package, in the order of the page, until the page is full.

use linkgate_contract::{ModuleRef, Operator};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{
    CANDIDATES, COUNTED, CatalogError, Count, Liveness, PackageFilter, PackageKey, PackageOrder, PackagePage,
    PackageQuery, TimeSpan,
};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::database::storable;
use super::pages::{Pages, page_failed};
use super::search::Search;
use crate::rows::read_row;
use crate::shared::{direction, signed, unsigned};

/// What a page shows, and what it may be ordered by.
const COLUMNS: &str =
    "id, version, package_name, size_bytes, sha256, is_deleted, created_ms, updated_ms, operator, version_key";
const NEWEST_FIRST: &[PackageOrder] = &[PackageOrder { key: PackageKey::Created, is_descending: true }];

/// A page of a module's packages.
pub(super) async fn list(pages: &Pages, target: &ModuleRef, query: &PackageQuery) -> Result<PackagePage, CatalogError> {
    let mut reading = pages.begin().await?;
    read_page(&mut reading.tx, target, query).await.map_err(page_failed)
}

async fn read_page(
    connection: &mut PgConnection,
    target: &ModuleRef,
    query: &PackageQuery,
) -> Result<PackagePage, sqlx::Error> {
    let PackageFilter { deletion, terms, .. } = &query.filter;
    let search = Search::prepare(connection, target, *deletion, terms).await?;
    if search == Search::NoMatch {
        return Ok(PackagePage { rows: Vec::new(), has_more: false, count: Count::Exactly(0) });
    }
    let list = List { target, query, search, now_ms: now_ms() };
    let rows = list.page(QueryBuilder::new(""))?.build().fetch_all(&mut *connection).await?;
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
        matches!(self.search, Search::Few(_)) || sha256.is_some() || *is_pinned == Some(true)
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
    fn page(&self, mut sql: QueryBuilder<Postgres>) -> Result<QueryBuilder<Postgres>, sqlx::Error> {
        let (limit, offset) = (i64::from(self.query.limit) + 1, signed(self.query.offset.min(u64::from(u32::MAX)))?);
        if let ([part], true) = (self.parts(), self.is_narrow()) {
            sql.push("with few as materialized (select ").push(COLUMNS);
            self.push_conditions(&mut sql, *part);
            sql.push(") select ").push(COLUMNS).push(" from few where true");
            self.push_before(&mut sql);
            self.push_order(&mut sql);
        } else if let [part] = self.parts() {
            self.push_part(&mut sql, *part);
        } else {
            sql.push("select ").push(COLUMNS).push(" from (");
            for (at, part) in self.parts().iter().enumerate() {
                sql.push(if at > 0 { " union all (" } else { "(" });
                self.push_part(&mut sql, *part);
                sql.push(" limit ").push_bind(limit + offset).push(")");
            }
            sql.push(") as packages");
            self.push_order(&mut sql);
        }
        sql.push(" limit ").push_bind(limit).push(" offset ").push_bind(offset);
        Ok(sql)
    }

    fn push_part(&self, sql: &mut QueryBuilder<Postgres>, is_deleted: Option<bool>) {
        sql.push("select ").push(COLUMNS);
        self.push_conditions(sql, is_deleted);
        self.push_before(sql);
        self.push_order(sql);
    }

    fn push_before(&self, sql: &mut QueryBuilder<Postgres>) {
        if let Some(before) = self.query.before {
            sql.push(" and id + 0 < ").push_bind(before.row());
        }
    }

    fn push_order(&self, sql: &mut QueryBuilder<Postgres>) {
        let order = if self.query.order.is_empty() { NEWEST_FIRST } else { &self.query.order };
        let mut separator = " order by ";
        for PackageOrder { key, is_descending } in order {
            sql.push(separator).push(column(*key)).push(direction(*is_descending));
            separator = ", ";
        }
        if let Some(last) = order.last().filter(|last| last.key != PackageKey::Id) {
            sql.push(", id").push(direction(last.is_descending));
        }
    }

    /// From `from` to the last condition of the filter.
    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>, is_deleted: Option<bool>) {
        let filter = &self.query.filter;
        sql.push(" from source_package where app_code = ").push_bind(self.target.app.as_str());
        sql.push(" and module = ").push_bind(self.target.module.as_str());
        if let Some(is_deleted) = is_deleted {
            sql.push(if is_deleted { " and is_deleted" } else { " and not is_deleted" });
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
    async fn count(&self, connection: &mut PgConnection, shown: u64, has_more: bool) -> Result<Count, sqlx::Error> {
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
        let counted: i64 = self.counting(QueryBuilder::new(""))?.build_query_scalar().fetch_one(connection).await?;
        let counted = unsigned(counted)?;
        Ok(if counted > COUNTED { Count::AtLeast(counted.max(least)) } else { Count::Exactly(counted) })
    }

    async fn sum(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let live = sqlx::query_scalar("select live_packages from module_usage where app_code = $1 and module = $2")
            .bind(self.target.app.as_str())
            .bind(self.target.module.as_str())
            .fetch_optional(connection)
            .await?;
        unsigned(live.unwrap_or_default())
    }

    fn counting(&self, mut sql: QueryBuilder<Postgres>) -> Result<QueryBuilder<Postgres>, sqlx::Error> {
        sql.push("select count(*) from (");
        for (at, part) in self.parts().iter().enumerate() {
            sql.push(if at > 0 { " union all (select 1" } else { "(select 1" });
            self.push_conditions(&mut sql, *part);
            sql.push(" limit ").push_bind(signed(COUNTED + 1)?).push(")");
        }
        sql.push(") as counted");
        Ok(sql)
    }
}

fn column(key: PackageKey) -> &'static str {
    match key {
        // What its index has (migrations/postgres): not the primary key.
        PackageKey::Id => "id + 0",
        PackageKey::Version => "version",
        PackageKey::NaturalVersion => "version_key",
        PackageKey::PackageName => "package_name",
        PackageKey::PackageSize => "size_bytes",
        PackageKey::Created => "created_ms",
        PackageKey::Updated => "updated_ms",
    }
}

fn push_equal(sql: &mut QueryBuilder<Postgres>, column: &str, value: Option<&str>) {
    if let Some(value) = value {
        sql.push(" and ").push(column).push(" = ").push_bind(storable(value));
    }
}

fn push_span(sql: &mut QueryBuilder<Postgres>, column: &str, span: TimeSpan) {
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
    use linkgate_store_core::ingest::ports::PackageReader as _;
    use linkgate_store_core::settings::QueueLimits;

    use super::super::PostgresCatalog;
    use super::*;
    use crate::testing::PostgresServer;

    const KEYS: [(PackageKey, &str); 7] = [
        (PackageKey::Id, "page"),
        (PackageKey::Version, "live"),
        (PackageKey::NaturalVersion, "by_natural_version"),
        (PackageKey::PackageName, "by_name"),
        (PackageKey::PackageSize, "by_size"),
        (PackageKey::Created, "by_created"),
        (PackageKey::Updated, "by_updated"),
    ];
    /// Enough for the server to prefer what is cheaper with many, in two modules.
    const PACKAGES: i64 = 12_000;
    const FILL: &str = "insert into source_package
            (app_code, module, version, version_key, package_name, size_bytes, sha256, operator, created_ms, updated_ms,
             search_text, is_deleted, deleted_ms)
        select 'app', $1, '1.0.' || i, convert_to(lpad(i::text, 9, '0'), 'UTF8'), 'Éxample:1.0.' || i, i,
            lpad(to_hex(i), 64, '0'), 'admin', i, i, '1.0.' || i || chr(31) || 'éxample:1.0.' || i || chr(31) || i,
            i % 20 = 0, case when i % 20 = 0 then i end
        from generate_series(1, $2) as i";

    /// A server with many packages in two modules; the second has a few more live ones than a search goes through.
    async fn filled() -> Option<(PostgresServer, PostgresCatalog)> {
        if let Some(missing) = PostgresServer::missing() {
            println!("{missing}: nothing was tried");
            return None;
        }
        let server = PostgresServer::start();
        let catalog = PostgresCatalog::connect(&server.address(), QueueLimits::default()).await.unwrap();
        for module in ["default", "other"] {
            sqlx::query(FILL).bind(module).bind(PACKAGES).execute(&catalog.pool).await.unwrap();
        }
        sqlx::query("analyze source_package").execute(&catalog.pool).await.unwrap();
        Some((server, catalog))
    }

    fn target(module: &str) -> ModuleRef {
        ModuleRef { app: AppCode::new("app").unwrap(), module: ModuleName::new(module).unwrap() }
    }

    /// How the server reads what is asked for.
    async fn plan(catalog: &PostgresCatalog, query: &PackageQuery, is_count: bool) -> String {
        let (mut connection, target) = (catalog.pool.acquire().await.unwrap(), target("default"));
        let PackageFilter { deletion, terms, .. } = &query.filter;
        let search = Search::prepare(&mut connection, &target, *deletion, terms).await.unwrap();
        let (list, explaining) = (List { target: &target, query, search, now_ms: 0 }, QueryBuilder::new("explain "));
        // What is cheaper with so few is none of the question.
        sqlx::query("set enable_seqscan = off").execute(&mut *connection).await.unwrap();
        let mut asked = if is_count { list.counting(explaining) } else { list.page(explaining) }.unwrap();
        let steps: Vec<String> =
            asked.build_query_scalar().persistent(false).fetch_all(&mut *connection).await.unwrap();
        steps.join("; ")
    }

    #[tokio::test]
    async fn every_order_goes_along_its_index_and_sorts_no_more_than_what_is_equal() {
        let Some((_server, catalog)) = filled().await else { return };
        for (key, index) in KEYS {
            for is_descending in [false, true] {
                let query =
                    PackageQuery { order: vec![PackageOrder { key, is_descending }], limit: 20, ..Default::default() };
                let plan = plan(&catalog, &query, false).await;
                assert!(plan.contains(&format!("source_package_{index} ")), "{key:?} {is_descending}: {plan}");
                let sorts = plan.contains("Sort") && !plan.contains("Incremental Sort");
                assert!(!sorts && !plan.contains("Seq Scan"), "{key:?} {is_descending}: {plan}");
            }
        }
        let order = vec![PackageOrder { key: PackageKey::Id, is_descending: true }];
        let walk = PackageQuery { order, before: Some(PackageId::from_row(700)), limit: 20, ..Default::default() };
        let walk = plan(&catalog, &walk, false).await;
        assert!(
            walk.contains("source_package_page ") && walk.contains("Index Cond") && walk.contains("(id + 0) < "),
            "{walk}"
        );
    }

    #[tokio::test]
    async fn what_names_few_packages_is_met_first() {
        let Some((_server, catalog)) = filled().await else { return };
        let with = |filter: PackageFilter| PackageQuery { filter, limit: 20, ..Default::default() };
        let version = PackageFilter { version: Some(PackageVersion::new("1.0.7").unwrap()), ..Default::default() };
        let digest = PackageFilter { sha256: Some(Sha256::from_bytes([1; 32])), ..Default::default() };
        let all = PackageFilter { deletion: Liveness::All, ..digest.clone() };
        let name = PackageFilter { package_name: Some("a".into()), ..Default::default() };
        let terms = PackageFilter { terms: vec!["0.7777".to_owned()], ..Default::default() };
        for (filter, index) in [
            (version, "source_package_live "),
            (digest, "source_package_sha256 "),
            (all, "source_package_sha256 "),
            (name, "source_package_by_name "),
            (terms, "source_package_search "),
        ] {
            for is_count in [false, true] {
                let plan = plan(&catalog, &with(filter.clone()), is_count).await;
                assert!(plan.contains(index), "{filter:?} {is_count}: {plan}");
            }
        }
        let pinned = PackageFilter { is_pinned: Some(true), ..Default::default() };
        let plan = plan(&catalog, &with(pinned), false).await;
        assert!(plan.contains("source_package_pkey"), "{plan}");
    }

    #[tokio::test]
    async fn what_many_packages_have_is_found_in_the_order_of_the_page_and_counted_so_far() {
        let Some((_server, catalog)) = filled().await else { return };
        let list = async |terms: &[&str], operator: Option<&str>, offset: u64| {
            let filter = PackageFilter {
                terms: terms.iter().map(|term| (*term).to_owned()).collect(),
                operator: operator.map(|name| name.parse().unwrap()),
                ..PackageFilter::default()
            };
            let query = PackageQuery { filter, limit: 2, offset, ..PackageQuery::default() };
            let page = catalog.list_packages(&target("other"), &query).await.unwrap();
            (page.rows.iter().map(|row| row.size_bytes).collect::<Vec<_>>(), page.count)
        };
        let newest = vec![11_999, 11_998];
        let at_least = Count::AtLeast(10_001);
        assert_eq!(list(&["xAMPLE"], None, 0).await, (newest.clone(), at_least));
        assert_eq!(list(&["éxample"], None, 0).await, (newest.clone(), at_least), "in the other case");
        assert_eq!(list(&["xample"], None, 11_399).await, (vec![1], Count::Exactly(11_400)), "the last page counts");
        assert_eq!(list(&["xample", "1"], Some("admin"), 0).await.1, at_least, "counted one by one");
        assert_eq!(list(&["0.777"], None, 0).await, (vec![7_779, 7_778], Count::Exactly(11)));
        assert_eq!(list(&[], None, 0).await, (newest.clone(), Count::Exactly(11_400)), "from the sums");
        assert_eq!(list(&[], Some("admin"), 0).await, (newest, at_least));
        assert_eq!(list(&[], Some("nobody"), 0).await, (vec![], Count::Exactly(0)));
        assert_eq!(list(&["é"], None, 0).await.1, at_least, "too short for the index");
    }
}
