-- The key that the stores of this database seal with, by a digest: what one of them seals, another one may have to open, so one
-- that could not is to notice when it starts. No secret is in here.
create table sealing_key (
    is_only boolean     primary key default true check (is_only),
    key_id  text        collate "C" not null check (length(key_id) = 64),
    -- When the first of them began with it.
    since   timestamptz not null default clock_timestamp()
);
