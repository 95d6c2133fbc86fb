-- +goose Up
-- PostgreSQL has an index for searches from here on; SQLite reads the table.
SELECT 1;

-- +goose Down
SELECT 1;
