//! How terms are looked for: in the index of the search where that narrows it down, otherwise package by package in the order
//! of the page.
//!
//! Promises: both ways take a term as text, whatever it holds, and find it in any of the three columns, but not across two of
//! them. The index has sequences of three letters, so shorter terms are looked for in the second way.

use linkgate_contract::ModuleRef;
use linkgate_store_core::ingest::ports::{CANDIDATES, Liveness};
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

/// The fewest letters that the index can look for.
const SEQUENCE: usize = 3;

/// How the terms of one request are looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// There are none.
    Nothing,
    /// No package can have them.
    NoMatch,
    /// The index has few packages for this expression.
    Index { expression: String, short: Vec<String> },
    /// Each package is looked at.
    EachPackage {
        terms: Vec<String>,
        /// Whether it is known that more than [`CANDIDATES`] have all of them.
        are_many: bool,
    },
}

impl Search {
    /// Chooses, by how much the index has.
    pub(super) async fn prepare(
        connection: &mut SqliteConnection,
        target: &ModuleRef,
        deletion: Liveness,
        terms: &[String],
    ) -> Result<Self, sqlx::Error> {
        let (long, short): (Vec<_>, Vec<_>) = terms.iter().cloned().partition(|term| term.chars().count() >= SEQUENCE);
        if terms.is_empty() {
            return Ok(Self::Nothing);
        }
        if long.is_empty() {
            return Ok(Self::EachPackage { terms: short, are_many: false });
        }
        let Some(marks) = find_marks(connection, target, deletion).await? else { return Ok(Self::NoMatch) };
        let expression = expression(&marks, &long);
        let found: i64 = sqlx::query_scalar(
            "select count(*) from (select 1 from package_search where package_search match ? limit ?)",
        )
        .bind(&expression)
        .bind(i64::from(CANDIDATES) + 1)
        .fetch_one(connection)
        .await?;
        Ok(match found {
            0 => Self::NoMatch,
            few if few <= i64::from(CANDIDATES) => Self::Index { expression, short },
            _ => Self::EachPackage { are_many: short.is_empty(), terms: terms.to_owned() },
        })
    }

    /// What a row must meet.
    pub(super) fn push_conditions(&self, sql: &mut QueryBuilder<Sqlite>) {
        let looked_for = match self {
            Self::Nothing => return,
            Self::NoMatch => {
                sql.push(" and false");
                return;
            }
            Self::Index { expression, short } => {
                sql.push(" and id in (select rowid from package_search where package_search match ");
                sql.push_bind(expression).push(")");
                short
            }
            Self::EachPackage { terms, .. } => terms,
        };
        for term in looked_for {
            push_term(sql, term);
        }
    }
}

/// The letters by which the index knows the module's packages; `None` if it never had any.
async fn find_marks(
    connection: &mut SqliteConnection,
    target: &ModuleRef,
    deletion: Liveness,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let row = sqlx::query("select live, deleted from module_mark where app_code = ? and module = ?")
        .bind(target.app.as_str())
        .bind(target.module.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (live, deleted) = (row.try_get("live")?, row.try_get("deleted")?);
    Ok(Some(match deletion {
        Liveness::Live => vec![live],
        Liveness::Deleted => vec![deleted],
        Liveness::All => vec![live, deleted],
    }))
}

/// In the words of FTS5.
fn expression(marks: &[String], terms: &[String]) -> String {
    let (marks, terms) = (marks.iter().map(|mark| quoted(mark)), terms.iter().map(|term| quoted(term)));
    let (marks, terms): (Vec<_>, Vec<_>) = (marks.collect(), terms.collect());
    format!("mark : ({}) AND {{version package_name package_size}} : ({})", marks.join(" OR "), terms.join(" AND "))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// SQLite folds the case of ASCII alone, so other letters are looked for in each case.
fn push_term(sql: &mut QueryBuilder<Sqlite>, term: &str) {
    let mut forms = vec![term.to_owned()];
    if !term.is_ascii() {
        forms.extend([term.to_lowercase(), term.to_uppercase()]);
        forms.dedup();
    }
    sql.push(" and (false");
    for form in forms {
        let pattern = format!("%{}%", form.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"));
        for column in ["version", "package_name", "size_bytes"] {
            sql.push(" or ").push(column).push(" like ").push_bind(&pattern).push(" escape '\\'");
        }
    }
    sql.push(")");
}

#[cfg(test)]
mod tests {
    use linkgate_contract::{AppCode, ModuleName};
    use linkgate_store_core::ingest::ports::{
        CatalogReader as _, Count, PackageFilter, PackageQuery, PackageReader as _,
    };
    use linkgate_store_core::settings::QueueLimits;

    use super::*;
    use crate::SqliteCatalog;

    #[test]
    fn a_term_is_text_in_both_ways() {
        let terms = ["a\"b OR c*".to_owned(), "1.0".to_owned()];
        assert_eq!(
            expression(&["x".to_owned(), "y".to_owned()], &terms),
            r#"mark : ("x" OR "y") AND {version package_name package_size} : ("a""b OR c*" AND "1.0")"#
        );
        let mut sql = QueryBuilder::new("");
        push_term(&mut sql, "é");
        assert_eq!(sql.sql().as_str().matches("like ?").count(), 6, "{}", sql.sql().as_str());
    }

    const INSERT: &str = "insert into source_package
            (app_code, module, version, package_name, size_bytes, sha256, operator, created_ms, updated_ms)
        values ('app', ?, ?, 'example:' || ?, 1234, printf('%064x', 1), 'admin', 0, 0)";

    /// The versions that the index has under a mark of the module.
    async fn found(catalog: &SqliteCatalog, module: &str, deletion: Liveness, term: &str) -> Vec<String> {
        let target = ModuleRef { app: AppCode::new("app").unwrap(), module: ModuleName::new(module).unwrap() };
        let filter = PackageFilter { terms: vec![term.to_owned()], deletion, ..PackageFilter::default() };
        let query = PackageQuery { filter, limit: 100, ..PackageQuery::default() };
        let page = catalog.list_packages(&target, &query).await.unwrap();
        page.rows.into_iter().map(|row| row.version.as_str().to_owned()).collect()
    }

    #[tokio::test]
    async fn the_index_follows_whatever_is_done_to_a_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        let execute = async |statement: &'static str| {
            sqlx::query(statement).execute(&catalog.writer).await.unwrap();
        };
        for (module, version) in [("default", "1.0"), ("default", "2.0"), ("other", "1.0")] {
            sqlx::query(INSERT).bind(module).bind(version).bind(version).execute(&catalog.writer).await.unwrap();
        }
        let live = async |term: &str| found(&catalog, "default", Liveness::Live, term).await;
        let deleted = async |term: &str| found(&catalog, "default", Liveness::Deleted, term).await;
        assert_eq!((live("example:1").await, live("1234").await.len()), (vec!["1.0".to_owned()], 2));
        assert_eq!(found(&catalog, "other", Liveness::Live, "example").await, ["1.0"]);
        assert_eq!(found(&catalog, "nothing", Liveness::Live, "example").await, [""; 0]);

        execute("update source_package set package_name = 'Renamed', size_bytes = 77777 where id = 1").await;
        assert_eq!((live("example").await, live("renamed").await), (vec!["2.0".to_owned()], vec!["1.0".to_owned()]));
        assert_eq!((live("77777").await, live("1234").await), (vec!["1.0".to_owned()], vec!["2.0".to_owned()]));
        execute("update source_package set is_deleted = 1 where id = 1").await;
        assert_eq!((live("renamed").await, deleted("renamed").await), (vec![], vec!["1.0".to_owned()]));
        execute("update source_package set is_deleted = 0, version = '3.0.0' where id = 1").await;
        assert_eq!((live("3.0.0").await, deleted("renamed").await), (vec!["3.0.0".to_owned()], vec![]));
        let key: Option<Vec<u8>> = sqlx::query_scalar("select version_key from source_package where id = 1")
            .fetch_one(&catalog.writer)
            .await
            .unwrap();
        assert_eq!(key, None, "it is made anew when the catalog is opened");
        execute("delete from source_package where id = 1").await;
        assert_eq!(live("renamed").await, [""; 0]);
        execute("insert into package_search (package_search) values ('integrity-check')").await;
        assert_eq!(catalog.find_damage().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_more_packages_have_than_the_index_goes_through_is_found_and_counted_as_many() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let catalog = SqliteCatalog::open(file.path(), QueueLimits::default()).await.unwrap();
        let many = i64::from(CANDIDATES) + 5;
        sqlx::query(
            "with recursive number(i) as (select 1 union all select i + 1 from number where i < ?)
             insert into source_package
                (app_code, module, version, package_name, size_bytes, sha256, operator, created_ms, updated_ms)
             select 'app', 'default', '1.0.' || i, 'Éxample:1.0.' || i, i, printf('%064x', i), 'admin', i, i from number",
        )
        .bind(many)
        .execute(&catalog.writer)
        .await
        .unwrap();
        let target = ModuleRef { app: AppCode::new("app").unwrap(), module: ModuleName::new("default").unwrap() };
        let list = async |terms: &[&str], operator: Option<&str>, offset: u64| {
            let filter = PackageFilter {
                terms: terms.iter().map(|term| (*term).to_owned()).collect(),
                operator: operator.map(|name| name.parse().unwrap()),
                ..PackageFilter::default()
            };
            let query = PackageQuery { filter, limit: 2, offset, ..PackageQuery::default() };
            let page = catalog.list_packages(&target, &query).await.unwrap();
            (page.rows.iter().map(|row| row.size_bytes).collect::<Vec<_>>(), page.count)
        };
        let newest = vec![many, many - 1];
        let at_least = Count::AtLeast(10_001);
        assert_eq!(list(&["xAMPLE"], None, 0).await, (newest.clone(), at_least));
        assert_eq!(list(&["éxample"], None, 0).await, (newest.clone(), at_least), "in the other case");
        assert_eq!(list(&["xample"], None, 10_004).await, (vec![1], Count::Exactly(10_005)), "the last page counts");
        assert_eq!(list(&["xample", "1"], Some("admin"), 0).await.1, Count::AtLeast(10_001), "counted one by one");
        assert_eq!(list(&["0.77"], None, 0).await, (vec![7_799, 7_798], Count::Exactly(111)));
        assert_eq!(list(&[], None, 0).await, (newest.clone(), Count::Exactly(10_005)), "from the sums");
        assert_eq!(list(&[], Some("admin"), 0).await, (newest, Count::AtLeast(10_001)));
        assert_eq!(list(&[], Some("nobody"), 0).await, (vec![], Count::Exactly(0)));
    }
}
