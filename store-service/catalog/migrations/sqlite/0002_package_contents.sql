-- What was found inside each package. A row without a format was booked by a release that did not look: its package is
-- looked into when it is uploaded again.
alter table source_package add column format text
    check (format in ('tar', 'tar.gz', 'tar.bz2', 'tar.xz', 'tar.zst', 'zip', 'opaque'));
-- The folder of the description: './', or 'name/'.
alter table source_package add column relative_path text not null default './';
-- The description as JSON. Null if the package has none.
alter table source_package add column meta_info text check (json_valid(meta_info));
-- The version that the description names, which a version in the request overrules.
alter table source_package add column declared_version text;
-- Members, and their bytes when unpacked.
alter table source_package add column entries integer check (entries >= 0);
alter table source_package add column unpacked_bytes integer check (unpacked_bytes >= 0);
