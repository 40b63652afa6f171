//! What happened to packages, in the catalog of PostgreSQL: pages of it, the latest first.

use linkgate_contract::ModuleRef;
use linkgate_store_core::ingest::ports::{COUNTED, CatalogError, Count, EventPage, EventQuery};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::columns::select;
use super::pages::{Pages, page_failed};
use crate::rows::read_event;
use crate::shared::{signed, unsigned};

/// A page of what happened to a module's packages.
pub(super) async fn list(pages: &Pages, target: &ModuleRef, query: &EventQuery) -> Result<EventPage, CatalogError> {
    let mut reading = pages.begin().await?;
    read_page(&mut reading.tx, target, query).await.map_err(page_failed)
}

async fn read_page(
    connection: &mut PgConnection,
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
fn page(target: &ModuleRef, query: &EventQuery) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(select!(event, ""));
    push_conditions(&mut sql, target, query);
    if let Some(before) = query.before {
        sql.push(" and id + 0 < ").push_bind(before);
    }
    sql.push(" order by id + 0 desc limit ").push_bind(i64::from(query.limit) + 1);
    sql
}

/// They are counted so far and no further.
async fn count(connection: &mut PgConnection, target: &ModuleRef, query: &EventQuery) -> Result<Count, sqlx::Error> {
    let mut sql = QueryBuilder::new("select count(*) from (select 1");
    push_conditions(&mut sql, target, query);
    sql.push(" limit ").push_bind(signed(COUNTED + 1)?).push(") as counted");
    let counted = unsigned(sql.build_query_scalar().fetch_one(connection).await?)?;
    Ok(if counted > COUNTED { Count::AtLeast(counted) } else { Count::Exactly(counted) })
}

fn push_conditions(sql: &mut QueryBuilder<Postgres>, target: &ModuleRef, query: &EventQuery) {
    sql.push(" from event where app_code = ").push_bind(target.app.as_str());
    sql.push(" and module = ").push_bind(target.module.as_str());
    if let Some(action) = &query.action {
        sql.push(" and action = ").push_bind(action);
    }
    if let Some(package) = query.package {
        sql.push(" and package_id = ").push_bind(package.row());
    }
}
