-- Which version an upload has announced. Of uploads of one version one package comes in the end, so they count once, the largest
-- of them: an upload and one at another store that does the same, and only waits for it, would count twice otherwise. Stores of
-- the release before leave it out; what they announce counts by itself.
alter table reservation add column version text collate "C";
