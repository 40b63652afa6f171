//! What is read of a row: each column by its name. A statement that asks for all of them fails in a store that runs while a later
//! release widens the table, for a connection keeps what it has prepared.

/// The columns of a table that rows are read from, as a literal.
macro_rules! columns {
    (package) => {
        "source_package.id, source_package.app_code, source_package.module, source_package.version,
         source_package.package_name, source_package.size_bytes, source_package.sha256, source_package.operator,
         source_package.created_ms, source_package.updated_ms, source_package.format, source_package.relative_path,
         source_package.entries, source_package.unpacked_bytes, source_package.revision, source_package.is_deleted,
         source_package.deleted_ms, source_package.purge_after_ms, source_package.purged_ms"
    };
    (pin) => {
        "pin.name, pin.until_ms, pin.protect_bytes, pin.operator, pin.created_ms, pin.updated_ms"
    };
    (event) => {
        "id, at_ms, action, app_code, module, package_id, version, sha256_before, sha256_after, caller_app, operator,
         request_id, client_address, reason"
    };
    (job) => {
        "id, app_code, module, state, phase, request, private_hosts, credentials, opaque, sealed_credential, source_url,
         caller_app, operator, tenant_id, request_id, client_address, lives, received_bytes, total_bytes, attempts,
         created_ms, started_ms, ended_ms, outcome"
    };
}

/// A statement that reads these columns; what follows them begins with a space or a comma.
macro_rules! select {
    ($table:ident, $rest:literal) => {
        concat!("select ", $crate::postgres::columns::columns!($table), $rest)
    };
}

pub(super) use {columns, select};
