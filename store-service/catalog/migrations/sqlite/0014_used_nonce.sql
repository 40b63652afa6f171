-- Nonces of signed requests that may change something: each serves once, whichever gate it came by. The release before goes on
-- working on this: it looks at none.
create table used_nonce (
    -- SHA-256 of application, nonce and time stamp.
    digest   blob    primary key not null check (length(digest) = 32),
    -- On whose account it is, as that of a job.
    owner    text    not null,
    -- Until when a request with it is taken.
    until_ms integer not null
) strict, without rowid;

-- How many one caller has is looked at with each.
create index used_nonce_owner on used_nonce (owner);
-- Those whose time is over are forgotten.
create index used_nonce_until on used_nonce (until_ms);
