//! What happened to packages, in the catalog of SQLite: pages of it, the latest first.

use linkgate_contract::ModuleRef;
use linkgate_store_core::ingest::ports::{COUNTED, CatalogError, Count, EventPage, EventQuery};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::pages::{acquire, page_failed};
use crate::rows::read_event;
use crate::shared::{signed, unsigned};

/// A page of what happened to a module's packages.
pub(super) async fn list(
    pages: &SqlitePool,
    target: &ModuleRef,
    query: &EventQuery,
) -> Result<EventPage, CatalogError> {
    let mut connection = acquire(pages).await?;
    read_page(&mut connection, target, query).await.map_err(page_failed)
}

async fn read_page(
    connection: &mut SqliteConnection,
    target: &ModuleRef,
    query: &EventQuery,
) -> Result<EventPage, sqlx::Error> {
    let rows = page(target, query).build().fetch_all(&mut *connection).await?;
    let mut rows = rows.iter().map(read_event).collect::<Result<Vec<_>, _>>()?;
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let count = match query.before {
        None if !has_more => Count::Exactly(rows.len() as u64),
        _ => count(connection, target, query).await?,
    };
    Ok(EventPage { rows, has_more, count })
}

/// One row more than the page has, to see whether there is one.
fn page(target: &ModuleRef, query: &EventQuery) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("select *");
    push_conditions(&mut sql, target, query);
    if let Some(before) = query.before {
        sql.push(" and id < ").push_bind(before);
    }
    sql.push(" order by id desc limit ").push_bind(i64::from(query.limit) + 1);
    sql
}

/// They are counted so far and no further.
async fn count(
    connection: &mut SqliteConnection,
    target: &ModuleRef,
    query: &EventQuery,
) -> Result<Count, sqlx::Error> {
    let mut sql = QueryBuilder::new("select count(*) from (select 1");
    push_conditions(&mut sql, target, query);
    sql.push(" limit ").push_bind(signed(COUNTED + 1)?).push(")");
    let counted = unsigned(sql.build_query_scalar().fetch_one(connection).await?)?;
    Ok(if counted > COUNTED { Count::AtLeast(counted) } else { Count::Exactly(counted) })
}

fn push_conditions(sql: &mut QueryBuilder<Sqlite>, target: &ModuleRef, query: &EventQuery) {
    // A package has few events, so a plus keeps SQLite from going along those of its module.
    let plus = if query.package.is_some() { "+" } else { "" };
    sql.push(" from event where ").push(plus).push("app_code = ").push_bind(target.app.as_str());
    sql.push(" and ").push(plus).push("module = ").push_bind(target.module.as_str());
    if let Some(action) = &query.action {
        sql.push(" and action = ").push_bind(action);
    }
    if let Some(package) = query.package {
        sql.push(" and package_id = ").push_bind(package.row());
    }
}
