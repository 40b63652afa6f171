-- Where the bytes of each package came from: those of the upload that is in force, so an overwrite replaces it. The statement
-- says the same, signed, for those who do not read this table.
create table provenance (
    package_id     integer primary key references source_package (id) on delete cascade,
    -- The link that was asked for and the one that gave the bytes, without their queries. The latter is null if the
    -- application had the bytes already.
    source_url     text    not null,
    final_url      text,
    -- Of the reply that gave them.
    etag           text,
    last_modified  text,
    attempts       integer not null,
    -- Who called, on whose behalf, and by which name the gateway's log knows the request.
    caller_app     text    not null,
    operator       text    not null,
    request_id     text    not null,
    job_id         text    not null,
    started_ms     integer,
    ended_ms       integer not null,
    store_version  text    not null,
    -- An in-toto statement in a DSSE envelope.
    statement      text    not null check (json_valid(statement))
) strict;
