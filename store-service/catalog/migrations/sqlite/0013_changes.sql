-- Changes by callers.
--
-- The release before goes on working on this: it gives no address, and looks at neither column.

-- A row that was deleted before this release gave its bytes up at once, and they may be gone: it cannot be restored.
update source_package set purged_ms = updated_ms where is_deleted = 1 and purged_ms is null;

-- Where an accepted upload was asked for, for the event that tells of it.
alter table job add column client_address text not null default '';
