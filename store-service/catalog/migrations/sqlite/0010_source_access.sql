-- What an accepted upload may prove to its source: names of credentials that the operator gave to the store, as a list, and the
-- caller's own, sealed with a key that is in no file of the store. Both go when the upload ends. Null: nothing, as in rows of
-- releases that did not know it.
alter table job add column credentials text;
alter table job add column sealed_credential blob;
