//! The tables of a catalog as both databases have them, for copies from one into the other, and what their rows come to.
//!
//! Promises: a row reads the same out of either database, so copies can be held against each other by one digest. What only
//! means something to processes that run is in none of it: places on the queue, leases, announcements, jobs that nobody was
//! told of.

use std::fmt::Write as _;

use linkgate_contract::Sha256;
use linkgate_store_core::ingest::ports::CatalogSum;

use crate::rows::CatalogRow;

/// How a column is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    Bytes,
    Id,
}

use Kind::{Bytes, Flag, Id, Number, Text};

/// What a column of a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nothing,
    Text(String),
    Number(i64),
    Flag(bool),
    Bytes(Vec<u8>),
}

/// A table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The columns of both databases.
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// Which rows of PostgreSQL. SQLite has no others.
    rows: &'static str,
    order: &'static str,
}

/// All of them, those that others point at first.
pub(crate) const TABLES: [Table; 7] = [
    Table {
        name: "module",
        columns: &[("app_code", Text), ("module", Text), ("source_origin", Number), ("created_ms", Number)],
        rows: "true",
        order: "app_code, module",
    },
    Table {
        name: PACKAGES,
        columns: &[
            ("id", Number),
            ("app_code", Text),
            ("module", Text),
            ("version", Text),
            ("version_key", Bytes),
            ("package_name", Text),
            ("size_bytes", Number),
            ("sha256", Text),
            ("operator", Text),
            ("created_ms", Number),
            ("updated_ms", Number),
            ("format", Text),
            ("relative_path", Text),
            ("meta_info", Text),
            ("declared_version", Text),
            ("entries", Number),
            ("unpacked_bytes", Number),
            ("revision", Number),
            ("is_deleted", Flag),
            ("deleted_ms", Number),
            ("purge_after_ms", Number),
            ("purged_ms", Number),
        ],
        rows: "true",
        order: "id",
    },
    Table {
        name: "provenance",
        columns: &[
            ("package_id", Number),
            ("source_url", Text),
            ("final_url", Text),
            ("etag", Text),
            ("last_modified", Text),
            ("attempts", Number),
            ("caller_app", Text),
            ("operator", Text),
            ("tenant_id", Text),
            ("request_id", Text),
            ("job_id", Text),
            ("started_ms", Number),
            ("ended_ms", Number),
            ("store_version", Text),
            ("statement", Text),
            ("origin_url", Text),
            ("origin_job", Text),
        ],
        rows: "true",
        order: "package_id",
    },
    Table {
        name: "pin",
        columns: &[
            ("package_id", Number),
            ("name", Text),
            ("until_ms", Number),
            ("protect_bytes", Flag),
            ("caller_app", Text),
            ("operator", Text),
            ("created_ms", Number),
            ("updated_ms", Number),
        ],
        rows: "true",
        order: "package_id, name",
    },
    Table {
        name: EVENTS,
        columns: &[
            ("id", Number),
            ("at_ms", Number),
            ("action", Text),
            ("app_code", Text),
            ("module", Text),
            ("package_id", Number),
            ("version", Text),
            ("sha256_before", Text),
            ("sha256_after", Text),
            ("caller_app", Text),
            ("operator", Text),
            ("request_id", Text),
            ("client_address", Text),
            ("reason", Text),
        ],
        rows: "true",
        order: "id",
    },
    Table {
        name: JOBS,
        columns: &[
            ("id", Id),
            ("app_code", Text),
            ("module", Text),
            ("state", Text),
            ("request", Text),
            ("private_hosts", Text),
            ("credentials", Text),
            ("sealed_credential", Bytes),
            ("opaque", Flag),
            ("source_url", Text),
            ("caller_app", Text),
            ("operator", Text),
            ("tenant_id", Text),
            ("request_id", Text),
            ("client_address", Text),
            ("created_ms", Number),
            ("started_ms", Number),
            ("ended_ms", Number),
            ("received_bytes", Number),
            ("total_bytes", Number),
            ("attempts", Number),
            ("lives", Number),
            ("outcome", Text),
        ],
        rows: "(is_accepted or ended_ms is not null)",
        order: "id",
    },
    Table {
        name: "job_key",
        columns: &[("key", Bytes), ("fingerprint", Bytes), ("job_id", Id), ("created_ms", Number)],
        rows: "exists(select from job where job.id = job_id and (is_accepted or ended_ms is not null))",
        order: "key",
    },
];

pub(crate) const PACKAGES: &str = "source_package";
pub(crate) const JOBS: &str = "job";
const EVENTS: &str = "event";

/// Tables whose numbers are never given out twice.
pub(crate) const NUMBERED: [&str; 2] = [PACKAGES, EVENTS];

impl Table {
    /// How PostgreSQL reads it, in its order.
    pub(crate) fn reading_postgres(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, kind)| self.expression(name, *kind)).collect();
        // The order is that of the column, not of what it is read as.
        let order: Vec<String> = self.order.split(", ").map(|column| format!("{}.{column}", self.name)).collect();
        format!("select {} from {} where {} order by {}", columns.join(", "), self.name, self.rows, order.join(", "))
    }

    /// How SQLite reads it, in the same order.
    pub(crate) fn reading_sqlite(&self) -> String {
        format!("select {} from {} order by {}", self.names().join(", "), self.name, self.order)
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    /// A column in the words of PostgreSQL, as SQLite has it.
    fn expression(&self, name: &str, kind: Kind) -> String {
        match kind {
            // There a job that has not ended has none.
            Text if self.name == JOBS && name == "state" => {
                "case when ended_ms is not null then state end as state".to_owned()
            }
            Text | Bytes | Number | Flag => name.to_owned(),
            Id => format!("{name}::text as {name}"),
        }
    }

    /// What a row of it holds, of either database. PostgreSQL has no place for the character of number 0.
    pub(crate) fn read(&self, row: &impl CatalogRow) -> Result<Vec<Value>, sqlx::Error> {
        let read = |(name, kind): &(&'static str, Kind)| {
            let value = match kind {
                Text | Id => {
                    row.try_get::<Option<String>>(name)?.map(|text| Value::Text(text.replace('\0', "\u{fffd}")))
                }
                Number => row.try_get::<Option<i64>>(name)?.map(Value::Number),
                Flag => row.try_get::<Option<bool>>(name)?.map(Value::Flag),
                Bytes => row.try_get::<Option<Vec<u8>>>(name)?.map(Value::Bytes),
            };
            Ok(value.unwrap_or(Value::Nothing))
        };
        self.columns.iter().map(read).collect()
    }

    /// What the column of this name holds in a row of it.
    pub(crate) fn value<'v>(&self, values: &'v [Value], column: &str) -> Option<&'v Value> {
        let place = self.columns.iter().position(|(name, _)| *name == column)?;
        values.get(place)
    }
}

/// Writes a row as PostgreSQL reads it in a `copy`: no two rows of a table are written alike.
pub(crate) fn write_line<'v>(line: &mut String, values: impl IntoIterator<Item = &'v Value>) {
    let mut between = "";
    for value in values {
        line.push_str(between);
        between = "\t";
        // Nothing fails that is written into a text.
        let _written = match value {
            Value::Nothing => line.write_str("\\N"),
            Value::Text(text) => line.write_str(&escaped(text)),
            Value::Number(number) => write!(line, "{number}"),
            Value::Flag(flag) => line.write_str(if *flag { "t" } else { "f" }),
            Value::Bytes(bytes) => {
                line.push_str("\\\\x");
                bytes.iter().try_for_each(|byte| write!(line, "{byte:02x}"))
            }
        };
    }
    line.push('\n');
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// Counts rows and digests them, table by table in the order of [`TABLES`].
pub(crate) struct Summing {
    counts: Vec<(&'static str, u64)>,
    sha256: Sha256,
}

impl Summing {
    pub(crate) fn new() -> Self {
        Self { counts: Vec::new(), sha256: Sha256::digest_parts([]) }
    }

    pub(crate) fn begin(&mut self, table: &Table) {
        self.counts.push((table.name, 0));
        self.feed(table.name);
    }

    pub(crate) fn add(&mut self, values: &[Value]) {
        if let Some((_, count)) = self.counts.last_mut() {
            *count += 1;
        }
        let mut line = String::new();
        write_line(&mut line, values);
        self.feed(&line);
    }

    /// Each digest is of what came and of the one before it.
    fn feed(&mut self, text: &str) {
        self.sha256 = Sha256::digest_parts([&self.sha256.as_bytes()[..], text.as_bytes()]);
    }

    pub(crate) fn sum(self) -> CatalogSum {
        CatalogSum { counts: self.counts, sha256: self.sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_are_written_alike() {
        let text = |text: &str| Value::Text(text.to_owned());
        let rows = [
            vec![Value::Nothing, text("a")],
            vec![text("\\N"), text("a")],
            vec![text(""), text("a")],
            vec![text("\ta"), text("")],
            vec![text(""), text("\ta")],
            vec![text("\\ta"), text("")],
            vec![text("a\n"), text("b")],
            vec![text("a\r"), text("b")],
            vec![Value::Bytes(vec![0, 255]), text("")],
            vec![text("\\x00ff"), text("")],
        ];
        let lines: std::collections::BTreeSet<String> = rows
            .iter()
            .map(|values| {
                let mut line = String::new();
                write_line(&mut line, values);
                line
            })
            .collect();
        // Bytes and a text of their digits are in columns of different kinds.
        assert_eq!(lines.len(), rows.len() - 1, "{lines:?}");
        assert!(lines.iter().all(|line| line.matches('\n').count() == 1 && line.matches('\t').count() == 1));
    }
}
