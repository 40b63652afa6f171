-- How often a process began to work on an accepted upload, counted before it does. A job whose work ends the process, by its
-- memory or in another way, would otherwise end the next one, too, and so on without end.
alter table job add column lives integer not null default 0 check (lives >= 0);
