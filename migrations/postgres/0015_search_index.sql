-- +goose Up
SET LOCAL statement_timeout = 0;

-- A search looks for a text anywhere in a product's name and description, which
-- only an index over trigrams can serve. pg_trgm comes with PostgreSQL, and who
-- may create in the database may install it (it is trusted); where the role may
-- not, or a provider does not offer it, searches read the table instead and find
-- the same. Package migrations tells of that, see Lacking.
--
-- A row is in the index when it is written (fastupdate off): a list of rows that
-- are still to go in would be read by every search.
-- +goose StatementBegin
DO $$
DECLARE
    home name;
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'pg_trgm cannot be installed, so that searches have no index: %', SQLERRM;
    END;
    SELECT n.nspname INTO home
        FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod
        WHERE o.opcname = 'gin_trgm_ops' AND m.amname = 'gin' AND has_schema_privilege(n.oid, 'USAGE')
        LIMIT 1;
    IF home IS NOT NULL THEN
        EXECUTE format('CREATE INDEX products_search_idx ON products USING gin (name_fold %1$I.gin_trgm_ops, description_fold %1$I.gin_trgm_ops) WITH (fastupdate = off)', home);
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- The extension stays: others may use it.
DROP INDEX IF EXISTS products_search_idx;
