-- Which process does which piece of maintenance, so that one does it at a time and no more often than it is to be done.
create table maintenance_lease (
    task        text        collate "C" primary key,
    -- Who does it. Null: nobody does now.
    process     uuid,
    -- Until when whoever does it is believed to go on; once this is over, what it had begun is begun again.
    lease_until timestamptz,
    -- When it was last begun.
    begun_at    timestamptz not null,

    check ((process is null) = (lease_until is null))
);
