-- +goose Up
-- A session that was begun before knew the password alone (1), and that at its
-- beginning.
ALTER TABLE user_sessions ADD COLUMN methods INTEGER NOT NULL DEFAULT 1;
ALTER TABLE user_sessions ADD COLUMN proved_at TIMESTAMP NOT NULL DEFAULT 0 CHECK (typeof(proved_at) = 'integer');
UPDATE user_sessions SET proved_at = created_at;

-- What is left of sessions that are over.
CREATE TABLE past_sessions (
    key        TEXT      NOT NULL PRIMARY KEY, -- of the token that was its last, or one that it had before
    id         TEXT      NOT NULL,
    user_id    TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    why        TEXT      NOT NULL,
    user_agent TEXT      NOT NULL,
    ip         TEXT      NOT NULL, -- empty where it is not known
    created_at TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    ended_at   TIMESTAMP NOT NULL CHECK (typeof(ended_at) = 'integer')
) WITHOUT ROWID;

CREATE INDEX past_sessions_user_id_idx ON past_sessions (user_id, ended_at);
CREATE INDEX past_sessions_ended_at_idx ON past_sessions (ended_at);

-- +goose Down
DROP TABLE past_sessions;
ALTER TABLE user_sessions DROP COLUMN proved_at;
ALTER TABLE user_sessions DROP COLUMN methods;
