-- A backup that is being put into this database, and was not finished: no store begins with it. It has one row or none.
create table restore (
    is_only  boolean     primary key default true check (is_only),
    -- What all rows of the backup come to, by which the same one is told when it is restored again.
    backup   text        not null check (length(backup) = 64),
    begun_at timestamptz not null default clock_timestamp()
);

-- Processes that serve, for people to see. Nothing rests on it.
create table replica (
    -- The process in whose name jobs are (`job.process`).
    holder     uuid        primary key,
    host       text        not null,
    address    text        not null,
    version    text        not null,
    started_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
