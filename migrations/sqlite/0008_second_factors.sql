-- +goose Up
CREATE TABLE second_factors (
    user_id      TEXT      NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret       BLOB      NOT NULL, -- sealed by the application
    started_at   TIMESTAMP NOT NULL CHECK (typeof(started_at) = 'integer'),
    confirmed_at TIMESTAMP CHECK (typeof(confirmed_at) IN ('integer', 'null')), -- NULL while it is being set up
    last_step    INTEGER   NOT NULL,
    recovery     TEXT      NOT NULL, -- a JSON array of SHA-256 in hexadecimal
    revision     INTEGER   NOT NULL  -- raised by every write, for optimistic locking; begins anywhere
) WITHOUT ROWID;

-- +goose Down
DROP TABLE second_factors;
