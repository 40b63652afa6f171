-- So that a module's packages are found, however many there are: in every order that callers may ask for, and by any part of
-- what they are called.
--
-- The release before goes on working on this: it fills in no key of the natural order, which this one does when it is opened
-- again, and the triggers keep the index of the search and the revisions.

-- The version as bytes that are in the natural order of versions, 1.9 before 1.10. Made by this program; null in rows of
-- another one, until this one is opened.
alter table source_package add column version_key blob;
create index source_package_unkeyed on source_package (id) where version_key is null;

create trigger source_package_rekeyed after update of version on source_package
when new.version <> old.version and new.version_key is old.version_key begin
    update source_package set version_key = null where id = new.id;
end;

-- One for each order of live packages. Every index of SQLite ends with the row's number, which id is, so ties are in order, too.
-- `version` has the index that keeps it unique, and `id` has `source_package_page`.
create index source_package_by_created on source_package (app_code, module, created_ms) where is_deleted = 0;
create index source_package_by_updated on source_package (app_code, module, updated_ms) where is_deleted = 0;
create index source_package_by_name on source_package (app_code, module, package_name) where is_deleted = 0;
create index source_package_by_size on source_package (app_code, module, size_bytes) where is_deleted = 0;
create index source_package_by_natural_version on source_package (app_code, module, version_key) where is_deleted = 0;
-- Deleted ones are listed seldom: they have one order without sorting, that of ids.
create index source_package_deleted_page on source_package (app_code, module) where is_deleted = 1;

-- What the search knows a module by: three letters for its live packages and three for its deleted ones, since the index
-- holds every sequence of three. So a search in a small module does not go through what all the others have.
create table module_mark (
    number   integer primary key,
    app_code text    not null,
    module   text    not null,
    live     text    not null generated always as (char(
        19968 + 2 * number % 16384, 19968 + 2 * number / 16384 % 16384, 19968 + 2 * number / 268435456 % 16384)) virtual,
    deleted  text    not null generated always as (char(
        19969 + 2 * number % 16384, 19968 + 2 * number / 16384 % 16384, 19968 + 2 * number / 268435456 % 16384)) virtual,
    unique (app_code, module)
) strict;

-- An index alone: it holds no texts, so what is taken out of it must be named as it was put in.
create virtual table package_search using fts5 (
    mark, version, package_name, package_size,
    tokenize = 'trigram', content = '', columnsize = 0
);

insert into module_mark (app_code, module) select distinct app_code, module from source_package;

insert into package_search (rowid, mark, version, package_name, package_size)
    select id, iif(is_deleted, deleted, live), version, package_name, size_bytes
    from source_package join module_mark using (app_code, module);

create trigger source_package_indexed after insert on source_package begin
    insert into module_mark (app_code, module) values (new.app_code, new.module) on conflict do nothing;
    insert into package_search (rowid, mark, version, package_name, package_size)
        select new.id, iif(new.is_deleted, deleted, live), new.version, new.package_name, new.size_bytes
        from module_mark where app_code = new.app_code and module = new.module;
end;

create trigger source_package_reindexed
after update of app_code, module, version, package_name, size_bytes, is_deleted on source_package
when (new.app_code, new.module, new.version, new.package_name, new.size_bytes, new.is_deleted)
    is not (old.app_code, old.module, old.version, old.package_name, old.size_bytes, old.is_deleted) begin
    insert into module_mark (app_code, module) values (new.app_code, new.module) on conflict do nothing;
    insert into package_search (package_search, rowid, mark, version, package_name, package_size)
        select 'delete', old.id, iif(old.is_deleted, deleted, live), old.version, old.package_name, old.size_bytes
        from module_mark where app_code = old.app_code and module = old.module;
    insert into package_search (rowid, mark, version, package_name, package_size)
        select new.id, iif(new.is_deleted, deleted, live), new.version, new.package_name, new.size_bytes
        from module_mark where app_code = new.app_code and module = new.module;
end;

create trigger source_package_unindexed after delete on source_package begin
    insert into package_search (package_search, rowid, mark, version, package_name, package_size)
        select 'delete', old.id, iif(old.is_deleted, deleted, live), old.version, old.package_name, old.size_bytes
        from module_mark where app_code = old.app_code and module = old.module;
end;

-- Whoever changes a row and says nothing of its revision, as the release before does, changes it all the same.
create trigger source_package_revised
after update of version, package_name, size_bytes, sha256, operator, is_deleted, updated_ms, format, relative_path, entries,
    unpacked_bytes on source_package
when new.revision = old.revision begin
    update source_package set revision = revision + 1 where id = new.id;
end;

-- What happened to one package.
create index event_package on event (package_id) where package_id is not null;
