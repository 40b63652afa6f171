-- A job whose process went away may be what ended it, so those that nobody has worked on go first. But for a minute only: an owner of
-- whom new jobs come all the time had it wait for ever. All else is as it was.
create or replace function let_in(running bigint, per_host bigint, per_owner bigint, resumed bigint) returns void
language plpgsql as $$
declare
    free         bigint;
    resumed_free bigint := 0;
    next         record;
begin
    select running - count(*) into free from job where state in ('ready', 'claimed');
    if exists (select from job where state = 'waiting' and resumed_at is not null) then
        -- One more for each that has ended since the first of those began that have not.
        select resumed - count(*) filter (where state in ('ready', 'claimed')) + count(*) filter (where ended_at is not null)
            into resumed_free
            from job where resumed_at is not null and (state in ('ready', 'claimed') or ended_at >= (
                select min(resumed_at) from job
                where resumed_at is not null and state in ('waiting', 'ready', 'claimed', 'parked')));
    end if;
    while free > 0 loop
        select job.id, job.resumed_at is not null as is_resumed into next
            from job
            left join (select owner, count(*) as jobs from job where state in ('ready', 'claimed') group by owner) as owners
                on owners.owner = job.owner
            left join (select host, count(*) as jobs from job where state in ('ready', 'claimed') group by host) as hosts
                on hosts.host = job.host
            where job.state = 'waiting' and coalesce(owners.jobs, 0) < per_owner and coalesce(hosts.jobs, 0) < per_host
                and (job.resumed_at is null or resumed_free > 0)
            order by coalesce(owners.jobs, 0),
                case when job.resumed_at > clock_timestamp() - interval '1 minute' then job.lives else 0 end, job.queue_no
            limit 1;
        exit when not found;
        -- Its process may take it off the queue at this very moment.
        update job set state = 'ready', ready_no = nextval('job_turn') where id = next.id and state = 'waiting';
        continue when not found;
        free := free - 1;
        resumed_free := resumed_free - next.is_resumed::int;
    end loop;
end $$;
