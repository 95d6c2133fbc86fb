-- +goose Up
-- What a search for users looks at, folded by the application; NULL where it has
-- not been made yet.
ALTER TABLE users ADD COLUMN search TEXT;

CREATE INDEX users_search_missing_idx ON users (id) WHERE search IS NULL;
CREATE INDEX users_disabled_idx ON users (id) WHERE status = 'disabled';

-- The log is read the newest first: all of it by its key.
CREATE INDEX audit_log_actor_day_idx ON audit_log (actor_id, day, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_log_event_idx ON audit_log (event, day, seq);

-- +goose Down
DROP INDEX audit_log_event_idx;
DROP INDEX audit_log_actor_day_idx;
DROP INDEX users_disabled_idx;
DROP INDEX users_search_missing_idx;
ALTER TABLE users DROP COLUMN search;
