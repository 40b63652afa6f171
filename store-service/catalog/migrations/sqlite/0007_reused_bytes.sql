-- An upload that names a digest may reuse bytes which its module has. Its link was never asked, so where the bytes came from is
-- what the upload says that downloaded them. Both are null where the upload of the row downloaded the bytes itself, and in rows
-- of releases that did not know it; then final_url is null as well, and their bytes are not reused.
alter table provenance add column origin_url text;
alter table provenance add column origin_job text;
