//! How terms are looked for: first of all where that leaves few packages, otherwise package by package in the order of the
//! page.
//!
//! Promises: a term is text, whatever it holds, and is found in any of the three columns, but not across two of them. The case
//! of letters does not count, as this program folds it: no locale of the server has a say. The index has sequences of three
//! letters, so shorter terms are looked for in the second way.

use linkgate_contract::ModuleRef;
use linkgate_store_core::ingest::ports::{CANDIDATES, Liveness};
use sqlx::{PgConnection, Postgres, QueryBuilder};

use super::database::storable;

/// The fewest letters that the index can look for.
const SEQUENCE: usize = 3;
/// What stands between the columns. No term with it is found.
const SEPARATOR: char = '\u{1f}';

/// What a search looks at in a package.
pub(super) fn search_text(version: &str, package_name: &str, size_bytes: u64) -> String {
    let texts = [version, package_name].map(|text| folded(&storable(text).replace(SEPARATOR, " ")));
    let [version, package_name] = texts;
    format!("{version}{SEPARATOR}{package_name}{SEPARATOR}{size_bytes}")
}

/// Without regard to case. Letter by letter, so that a part of a text is folded as it is within the whole.
fn folded(text: &str) -> String {
    text.chars().map(folded_letter).collect()
}

/// Through its capital, for two small letters may have the same. One whose other form is more than a letter stays.
fn folded_letter(letter: char) -> char {
    let capital = alone(letter.to_uppercase()).unwrap_or(letter);
    alone(capital.to_lowercase()).unwrap_or(capital)
}

fn alone(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

/// How the terms of one request are looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// There are none.
    Nothing,
    /// No package can have them.
    NoMatch,
    /// Few packages have these patterns: they are found first.
    Few(Vec<String>),
    /// Each package is looked at.
    EachPackage {
        patterns: Vec<String>,
        /// Whether it is known that more than [`CANDIDATES`] have all of them.
        are_many: bool,
    },
}

impl Search {
    /// Chooses, by how many packages there are.
    pub(super) async fn prepare(
        connection: &mut PgConnection,
        target: &ModuleRef,
        deletion: Liveness,
        terms: &[String],
    ) -> Result<Self, sqlx::Error> {
        if terms.is_empty() {
            return Ok(Self::Nothing);
        }
        if terms.iter().any(|term| term.contains(['\0', SEPARATOR])) {
            return Ok(Self::NoMatch);
        }
        let patterns: Vec<String> = terms.iter().map(|term| pattern(term)).collect();
        let is_indexed = |term: &String| term.chars().count() >= SEQUENCE;
        if !terms.iter().any(is_indexed) {
            return Ok(Self::EachPackage { patterns, are_many: false });
        }
        let found = count(connection, target, deletion, &patterns).await?;
        Ok(match found {
            0 => Self::NoMatch,
            few if few <= i64::from(CANDIDATES) => Self::Few(patterns),
            _ => Self::EachPackage { patterns, are_many: true },
        })
    }

    /// What a row must meet.
    pub(super) fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::Nothing => {}
            Self::NoMatch => {
                sql.push(" and false");
            }
            Self::Few(patterns) | Self::EachPackage { patterns, .. } => push_patterns(sql, patterns),
        }
    }
}

/// How many packages of a module have all of them, but no further than it matters.
async fn count(
    connection: &mut PgConnection,
    target: &ModuleRef,
    deletion: Liveness,
    patterns: &[String],
) -> Result<i64, sqlx::Error> {
    let mut sql = QueryBuilder::new("select count(*) from (select from source_package where app_code = ");
    sql.push_bind(target.app.as_str()).push(" and module = ").push_bind(target.module.as_str());
    sql.push(match deletion {
        Liveness::Live => " and not is_deleted",
        Liveness::Deleted => " and is_deleted",
        Liveness::All => "",
    });
    push_patterns(&mut sql, patterns);
    sql.push(" limit ").push_bind(i64::from(CANDIDATES) + 1).push(") as found");
    sql.build_query_scalar().fetch_one(connection).await
}

fn push_patterns(sql: &mut QueryBuilder<Postgres>, patterns: &[String]) {
    for pattern in patterns {
        sql.push(" and search_text like ").push_bind(pattern);
    }
}

/// A term, anywhere in the text.
fn pattern(term: &str) -> String {
    format!("%{}%", folded(term).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_text_whatever_it_holds() {
        assert_eq!(pattern("1_0%\\É"), "%1\\_0\\%\\\\é%");
    }

    #[test]
    fn the_text_of_a_search_has_its_columns_apart_and_no_case() {
        assert_eq!(search_text("1.0-RC", "Ünit:1\u{1f}\0", 7), "1.0-rc\u{1f}ünit:1 \u{fffd}\u{1f}7");
        assert_eq!(folded("ſtraẞe ΣΊΣΥΦΟΣ İ"), folded("Straße σίσυφος İ"));
    }
}
