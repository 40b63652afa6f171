-- Modules that were met by an upload. Modules that the operator declares in a file are not in here: the file rules, and
-- rows that only repeat it would go stale. So a package's module need not be in this table, and there is no foreign key.
create table module (
    app_code      text    not null,
    module        text    not null,
    -- BlueKing's number: 1 authorized VCS, 2 BK-Lesscode, 3 S-Mart, 4 image registry, 6 CNative image, 7 AI agent.
    source_origin integer not null check (source_origin in (1, 2, 3, 4, 6, 7)),
    created_ms    integer not null,
    primary key (app_code, module)
) strict, without rowid;

-- One row for each upload that is in force or was deleted. An overwrite changes the row and keeps id and created_ms.
create table source_package (
    -- autoincrement: an id that a caller has seen is never given to another package.
    id           integer primary key autoincrement,
    app_code     text    not null,
    module       text    not null,
    version      text    not null,
    package_name text    not null,
    size_bytes   integer not null check (size_bytes >= 0),
    -- Names the blob. Several rows may point at the same one.
    sha256       text    not null check (length(sha256) = 64),
    operator     text    not null,
    is_deleted   integer not null default 0 check (is_deleted in (0, 1)),
    created_ms   integer not null,
    updated_ms   integer not null
) strict;

-- A version may be linked again after its row is marked deleted, so only live rows are unique.
create unique index source_package_live on source_package (app_code, module, version) where is_deleted = 0;

-- "Does any row point at this blob?" is asked whenever one might be removed.
create index source_package_sha256 on source_package (sha256);
