-- The uploads of a module are listed, the latest first. Ids are in the order of time. The table is small, for of jobs that have
-- ended only so many are remembered: the index is made in a moment.
create index job_by_module on job (app_code, module, id);
