-- What becomes of a package after its upload: it is changed, deleted, restored, pinned, purged, and each of it is an event.
--
-- The release before goes on working on this: it fills in none of the new columns, and the triggers keep the sums. But it takes
-- the bytes of deleted packages for garbage, so whoever takes this release back gives up what was deleted and not yet purged.

-- Grows with each change of the row, so that whoever saw an earlier one can be told.
alter table source_package add column revision integer not null default 1 check (revision > 0);
alter table source_package add column deleted_ms integer;
-- From when on the bytes of a deleted package may be freed. Null counts as at once.
alter table source_package add column purge_after_ms integer;
-- Once set, the row needs its bytes no more, and may not be restored. Every other row needs them, deleted or not.
alter table source_package add column purged_ms integer;

-- Deleted by hand: the store had no deletion before, and freed their bytes.
update source_package set deleted_ms = updated_ms, purge_after_ms = updated_ms where is_deleted = 1;

create index source_package_purge on source_package (purge_after_ms) where is_deleted = 1 and purged_ms is null;

-- Sums, so that neither a quota nor the count of a page goes through all packages. `deleted` are those that still have bytes.
create table module_usage (
    app_code         text    not null,
    module           text    not null,
    live_packages    integer not null default 0,
    live_bytes       integer not null default 0,
    deleted_packages integer not null default 0,
    deleted_bytes    integer not null default 0,
    primary key (app_code, module)
) strict, without rowid;

insert into module_usage
    select app_code, module,
        sum(is_deleted = 0), sum(iif(is_deleted = 0, size_bytes, 0)),
        sum(is_deleted = 1), sum(iif(is_deleted = 1, size_bytes, 0))
    from source_package group by app_code, module;

create trigger source_package_counted after insert on source_package begin
    insert into module_usage (app_code, module) values (new.app_code, new.module) on conflict do nothing;
    update module_usage set
        live_packages    = live_packages    + (new.is_deleted = 0),
        live_bytes       = live_bytes       + iif(new.is_deleted = 0, new.size_bytes, 0),
        deleted_packages = deleted_packages + (new.is_deleted = 1 and new.purged_ms is null),
        deleted_bytes    = deleted_bytes    + iif(new.is_deleted = 1 and new.purged_ms is null, new.size_bytes, 0)
    where app_code = new.app_code and module = new.module;
end;

create trigger source_package_recounted after update of size_bytes, is_deleted, purged_ms on source_package begin
    update module_usage set
        live_packages    = live_packages    + (new.is_deleted = 0) - (old.is_deleted = 0),
        live_bytes       = live_bytes       + iif(new.is_deleted = 0, new.size_bytes, 0)
                                            - iif(old.is_deleted = 0, old.size_bytes, 0),
        deleted_packages = deleted_packages + (new.is_deleted = 1 and new.purged_ms is null)
                                            - (old.is_deleted = 1 and old.purged_ms is null),
        deleted_bytes    = deleted_bytes    + iif(new.is_deleted = 1 and new.purged_ms is null, new.size_bytes, 0)
                                            - iif(old.is_deleted = 1 and old.purged_ms is null, old.size_bytes, 0)
    where app_code = new.app_code and module = new.module;
end;

-- Rows are never deleted by the store, but by operators they may be.
create trigger source_package_uncounted after delete on source_package begin
    update module_usage set
        live_packages    = live_packages    - (old.is_deleted = 0),
        live_bytes       = live_bytes       - iif(old.is_deleted = 0, old.size_bytes, 0),
        deleted_packages = deleted_packages - (old.is_deleted = 1 and old.purged_ms is null),
        deleted_bytes    = deleted_bytes    - iif(old.is_deleted = 1 and old.purged_ms is null, old.size_bytes, 0)
    where app_code = old.app_code and module = old.module;
end;

-- Who uses a package, by a name that its user gives.
create table pin (
    package_id    integer not null references source_package (id) on delete cascade,
    name          text    not null,
    -- Null: for good.
    until_ms      integer,
    -- Whether the package may not even be overwritten.
    protect_bytes integer not null default 0 check (protect_bytes in (0, 1)),
    caller_app    text    not null,
    operator      text    not null,
    created_ms    integer not null,
    updated_ms    integer not null,
    primary key (package_id, name)
) strict, without rowid;

-- What happened to packages. Nothing in it is changed; old ones go.
create table event (
    id             integer primary key autoincrement,
    at_ms          integer not null,
    -- What was done, or refused.
    action         text    not null,
    app_code       text    not null,
    module         text    not null,
    -- Null where no package came of it.
    package_id     integer,
    version        text,
    sha256_before  text,
    sha256_after   text,
    -- Who did it. All are empty where the store did it by itself.
    caller_app     text    not null,
    operator       text    not null,
    request_id     text    not null,
    client_address text    not null,
    -- `user`, or the name of the rule by which the store did or refused it.
    reason         text    not null
) strict;

create index event_page on event (app_code, module, id);
create index event_at on event (at_ms);

create trigger event_is_final before update on event begin
    select raise(abort, 'an event is never changed');
end;
