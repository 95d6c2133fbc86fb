-- +goose Up
-- PostgreSQL has an index for searches from here on; SQLite reads the table.
--
-- It has no lock for those who migrate at once either: whoever comes second has
-- to fail on what the first has made, which a step that makes nothing would not
-- do. From here on no step counts twice, whatever it makes.
CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id);

-- +goose Down
DROP INDEX goose_db_version_once;
