-- Nonces of signed requests that may change something: each serves once, whichever gate and process it came by. The release
-- before goes on beside this: it looks at none.
create table used_nonce (
    -- SHA-256 of application, nonce and time stamp.
    digest  bytea       primary key check (length(digest) = 32),
    -- On whose account it is, as that of a job.
    owner   text        collate "C" not null,
    -- The request that used it up, so that whoever lost the answer knows its own.
    attempt uuid        not null,
    -- Until when a request with it is taken, by the clock of this server.
    until   timestamptz not null
);

-- How many one caller has is looked at with each.
create index used_nonce_owner on used_nonce (owner);
-- Those whose time is over are forgotten.
create index used_nonce_until on used_nonce (until);
