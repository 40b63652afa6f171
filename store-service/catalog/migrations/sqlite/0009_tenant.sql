-- Which tenant an upload was for, where the platform has tenants: an operator who is asked whose a package is must not have to look
-- for the request in the gateway's log. Null where tenants play no part, and in rows of releases that did not know it.
alter table job add column tenant_id text;
alter table provenance add column tenant_id text;
