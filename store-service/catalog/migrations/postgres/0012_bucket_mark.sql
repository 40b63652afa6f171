-- What the bucket of this database's packages is known by: an object in it says the same. A store with another bucket would take
-- what it does not find there for lost, and give up good objects.
create table bucket_mark (
    is_only    boolean primary key default true check (is_only),
    id         uuid    not null default gen_random_uuid(),
    -- Whether a bucket has it. Databases of before had packages and no mark.
    is_written boolean not null default false
);
insert into bucket_mark default values;
