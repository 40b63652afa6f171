-- A platform shows a module's packages page by page, the newest first: app_code, module and is_deleted = 0, by id downwards.
-- Without this index SQLite collects and sorts all packages of the module for each page, so a page costs more the more
-- packages a module has. Every index of SQLite ends with the row's number, which id is, so the order is in it already.
create index source_package_page on source_package (app_code, module) where is_deleted = 0;
