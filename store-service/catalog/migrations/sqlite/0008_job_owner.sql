-- On whose account a job is: the calling application, or the user where none was verified. Jobs that have ended are remembered up
-- to a number for each, so that nobody fills the database with uploads that fail. Read from what the row has, so that the
-- release before this one need not write it.
alter table job add column owner text
    generated always as (iif(caller_app = '', 'user:' || operator, 'app:' || caller_app)) virtual;

-- "Which of this caller's jobs ended longest ago?" is asked whenever one ends.
create index job_ended_by_owner on job (owner, ended_ms) where state is not null;
