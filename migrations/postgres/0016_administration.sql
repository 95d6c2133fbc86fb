-- +goose Up
SET LOCAL statement_timeout = 0;

-- What a search for users looks at, folded by the application; NULL where it has
-- not been made yet, or was made of another name or address.
ALTER TABLE users ADD COLUMN search text COLLATE "C";

-- A node of the release before changes names and addresses, and knows nothing of
-- this column.
-- +goose StatementBegin
CREATE FUNCTION users_search_lost() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.search := NULL;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER users_search_lost BEFORE UPDATE ON users FOR EACH ROW
    WHEN (NEW.search = OLD.search AND (NEW.name, NEW.email) IS DISTINCT FROM (OLD.name, OLD.email))
    EXECUTE FUNCTION users_search_lost();

CREATE INDEX users_search_missing_idx ON users (id) WHERE search IS NULL;
CREATE INDEX users_disabled_idx ON users (id) WHERE status = 'disabled';
CREATE INDEX users_roles_idx ON users USING gin (roles jsonb_path_ops);

-- With pg_trgm, where it is there and may be installed, text is found by an index;
-- without, every user is looked at.
-- +goose StatementBegin
DO $$
DECLARE
    home text;
BEGIN
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'pg_trgm is not to be had: %', SQLERRM;
    END;
    SELECT quote_ident(nspname) INTO home FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_trgm';
    IF home IS NOT NULL THEN
        EXECUTE 'CREATE INDEX users_search_idx ON users USING gin (search ' || home || '.gin_trgm_ops)';
    END IF;
END
$$;
-- +goose StatementEnd

-- The log is read the newest first: all of it by its key.
CREATE INDEX audit_log_actor_day_idx ON audit_log (actor_id, day, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_log_event_idx ON audit_log (event, day, seq);

-- +goose Down
DROP INDEX audit_log_event_idx;
DROP INDEX audit_log_actor_day_idx;
DROP INDEX users_roles_idx;
DROP INDEX users_disabled_idx;
DROP TRIGGER users_search_lost ON users;
DROP FUNCTION users_search_lost();
ALTER TABLE users DROP COLUMN search;
