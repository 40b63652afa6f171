-- An upload that follows an equal one, and finds that it went away, asks again where it stands. Another follower, which has a key of
-- it, might do so at the same moment: two that follow each other would never end. So whoever has followed follows by a key only
-- what has a place on the queue. All else is as it was.
create or replace function admit_job(me uuid, new_id uuid, new_key bytea, keys bytea[], fingerprints bytea[], new_owner text,
                                     new_host text, must_fit boolean, running bigint, per_host bigint, per_owner bigint,
                                     resumed bigint, queued bigint, queued_per_owner bigint)
returns table (verdict text, joined uuid) language plpgsql as $$
declare
    known    record;
    held     record;
    followed boolean;
begin
    -- Of what a crash of the server forgets of this nobody was told that it goes on.
    perform set_config('synchronous_commit', 'off', true);
    perform pg_advisory_xact_lock(7301, 0);
    select job.state, job.process into known from job where job.id = new_id;
    if found and known.state = 'claimed' and known.process = me then
        return query select 'claimed', new_id;
        return;
    elsif found and not (known.state in ('waiting', 'ready', 'parked') and coalesce(known.process, me) = me) then
        return query select 'joined', new_id;
        return;
    end if;
    followed := found and known.state = 'parked';
    select job.id, job_key.fingerprint = asked.fingerprint as is_same into known
        from unnest(keys, fingerprints) with ordinality as asked (key, fingerprint, place)
        join job_key on job_key.key = asked.key join job on job.id = job_key.job_id
        where (job.state in ('waiting', 'ready', 'claimed') or job.state = 'parked' and not followed) and job.id <> new_id
        order by asked.place limit 1;
    if found then
        return query select case when known.is_same then 'joined' else 'key_reused' end, known.id;
        return;
    end if;
    select job.id into known from job
        where job.upload_key = new_key and job.state in ('waiting', 'ready', 'claimed', 'parked') and job.id <> new_id;
    if found then
        return query select 'joined', known.id;
        return;
    end if;
    perform let_in(running, per_host, per_owner, resumed);
    select count(*) filter (where state <> 'waiting') as running,
            count(*) filter (where state <> 'waiting' and owner = new_owner) as of_owner,
            count(*) filter (where state <> 'waiting' and host = new_host) as of_host,
            count(*) filter (where state = 'waiting') as waiting,
            count(*) filter (where state = 'waiting' and owner = new_owner) as waiting_of_owner
        into held from job where state in ('waiting', 'ready', 'claimed') and job.id <> new_id;
    if not must_fit or held.running < running and held.of_owner < per_owner and held.of_host < per_host then
        return query select 'new', new_id;
    elsif held.waiting_of_owner >= queued_per_owner then
        return query select 'owner_full', new_id;
    elsif held.waiting >= queued then
        return query select 'sum_full', new_id;
    else
        return query select 'new', new_id;
    end if;
end $$;
