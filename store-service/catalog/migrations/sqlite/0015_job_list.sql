-- The uploads of a module are listed, the latest first. Ids are in the order of time.
create index job_by_module on job (app_code, module, id);
