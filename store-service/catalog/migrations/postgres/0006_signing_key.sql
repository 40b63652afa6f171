-- The keys that the stores of this database sign with, by their public halves' digests: what one of them signs must be worth
-- something at the others, so one that was given another key by mistake is to notice when it starts. No secret is in here.
create table signing_key (
    purpose text        collate "C" primary key check (purpose in ('statements', 'urls')),
    key_id  text        collate "C" not null check (length(key_id) = 64),
    -- When the first of them began with it.
    since   timestamptz not null default clock_timestamp()
);
