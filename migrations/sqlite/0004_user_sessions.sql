-- +goose Up
CREATE TABLE user_sessions (
    key        TEXT      NOT NULL PRIMARY KEY, -- SHA-256 of the token in hexadecimal
    id         TEXT      NOT NULL,
    user_id    TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    epoch      INTEGER   NOT NULL,
    remembered BOOLEAN   NOT NULL CHECK (remembered IN (0, 1)),
    user_agent TEXT      NOT NULL,
    ip         TEXT      NOT NULL, -- empty where it is not known
    created_at TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    seen_at    TIMESTAMP NOT NULL CHECK (typeof(seen_at) = 'integer'),
    idle_end   TIMESTAMP NOT NULL CHECK (typeof(idle_end) = 'integer'),
    end_at     TIMESTAMP NOT NULL CHECK (typeof(end_at) = 'integer')
) WITHOUT ROWID;

CREATE INDEX user_sessions_user_id_idx ON user_sessions (user_id);
CREATE INDEX user_sessions_idle_end_idx ON user_sessions (idle_end);

-- +goose Down
DROP TABLE user_sessions;
