-- Uploads as jobs: those whose callers were told that they go on without them, and all that have ended. A job that nobody was
-- told of lives in memory until it ends.
create table job (
    -- A UUID of version 7, so newer ones are greater.
    id              text    primary key not null check (length(id) = 36),
    app_code        text    not null,
    module          text    not null,
    -- Null while it has not ended: whoever starts the store runs it then.
    state           text    check (state in ('done', 'failed', 'cancelled')),
    -- What it takes to run it: the body of the request in the API's own form, and what the gate allowed beside the store's own
    -- settings: hosts that may be private, as a list, and a file that is no archive. The link may hold a signature, so it
    -- goes with the first two when the upload ends.
    request         text,
    private_hosts   text,
    opaque          integer not null default 0 check (opaque in (0, 1)),
    -- The link without its query.
    source_url      text    not null,
    -- Who called, and on whose behalf.
    caller_app      text    not null,
    operator        text    not null,
    request_id      text    not null,
    created_ms      integer not null,
    started_ms      integer,
    ended_ms        integer,
    received_bytes  integer not null default 0,
    total_bytes     integer,
    attempts        integer not null default 0,
    -- The package as it was booked, or the error's code and words.
    outcome         text    check (json_valid(outcome)),
    check ((state is null) = (request is not null) and (state is null) = (ended_ms is null))
) strict, without rowid;

-- Asked at each start.
create index job_unfinished on job (created_ms) where state is null;
-- Old jobs are forgotten by their end.
create index job_ended on job (ended_ms) where state is not null;

-- Idempotency-Key: which upload a caller's key stands for.
create table job_key (
    -- SHA-256 of the caller and the key.
    key         blob    primary key not null check (length(key) = 32),
    -- SHA-256 of the request, by which another request under the same key is told.
    fingerprint blob    not null check (length(fingerprint) = 32),
    job_id      text    not null references job (id) on delete cascade,
    created_ms  integer not null
) strict, without rowid;

create index job_key_job on job_key (job_id);
