-- Which object of an object storage holds which blob, for stores whose blobs are in one. A key is never used twice, and it is in
-- one of the two tables, or unknown. All times are those of this server: they are held against its clock.

-- Processes that show that they are alive. Whoever is not in here is not.
create table blob_holder (
    holder      uuid        primary key,
    alive_until timestamptz not null
) with (fillfactor = 50);

-- Who keeps all blobs, for as long as it lives.
create table blob_hold (
    id     uuid primary key,
    holder uuid not null references blob_holder (holder) on delete cascade
);

create index blob_hold_holder on blob_hold (holder);

-- The objects of blobs.
create table blob (
    sha256       text        collate "C" primary key check (length(sha256) = 64),
    key          text        collate "C" not null unique,
    size_bytes   bigint      not null check (size_bytes >= 0),
    -- The last time, be it by another upload of the same bytes.
    published_at timestamptz not null
);

-- The objects that are no blob's.
create table blob_key (
    key        text        collate "C" primary key,
    -- Written by its holder; given up by it, for anybody to sweep; swept by its holder, who will not publish it; retired, to be
    -- deleted after a grace; in quarantine for good.
    state      text        not null check (state in ('written', 'given_up', 'swept', 'retired', 'quarantined')),
    holder     uuid,
    -- By which name the storage knows the upload.
    upload_id  text,
    -- Of which blob it was.
    sha256     text        collate "C",
    size_bytes bigint      check (size_bytes >= 0),
    -- When it was begun, retired or put into quarantine.
    since      timestamptz not null,

    check ((state in ('written', 'given_up', 'swept')) = (holder is not null)),
    check ((state in ('retired', 'quarantined')) = (sha256 is not null and size_bytes is not null))
);

create index blob_key_open on blob_key (since) where state in ('written', 'given_up', 'swept');
create index blob_key_retired on blob_key (key) where state = 'retired';

-- No row without its bytes: whoever records one keeps its blob from being retired until that is committed, and is refused if the
-- blob is gone. A foreign key in all but two ways: a row may stay while its blob is in quarantine; and where no process has ever
-- written a blob into an object storage, blobs are elsewhere and nothing is asked of them. A process never takes its own sign of
-- life back, so there is one for ever after the first.
create function source_package_has_blob() returns trigger language plpgsql as $$
begin
    perform from blob where sha256 = new.sha256 for key share;
    if not found and exists (select from blob_holder) then
        raise exception 'the bytes of the package are not in the object storage any more'
            using errcode = 'foreign_key_violation', constraint = 'source_package_has_blob', table = 'source_package';
    end if;
    return new;
end $$;

create trigger source_package_has_blob before insert or update of sha256 on source_package
    for each row when (new.purged_ms is null) execute function source_package_has_blob();
