-- +goose Up
-- Ids are canonical UUIDs in lower case, whose order as text is that of their
-- bytes. A TIMESTAMP holds whole microseconds since 1970.
CREATE TABLE users (
    id              TEXT      NOT NULL PRIMARY KEY,
    email           TEXT      NOT NULL,
    email_canonical TEXT      NOT NULL UNIQUE,
    name            TEXT      NOT NULL,
    roles           TEXT      NOT NULL CHECK (json_type(roles) = 'array'),
    status          TEXT      NOT NULL CHECK (status IN ('active', 'disabled')),
    email_verified  BOOLEAN   NOT NULL CHECK (email_verified IN (0, 1)),
    password_hash   TEXT      NOT NULL,
    session_epoch   INTEGER   NOT NULL CHECK (session_epoch >= 0),
    revision        INTEGER   NOT NULL CHECK (revision >= 1), -- raised by every write, for optimistic locking
    created_at      TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    updated_at      TIMESTAMP NOT NULL CHECK (typeof(updated_at) = 'integer')
) WITHOUT ROWID;

-- +goose Down
DROP TABLE users;
