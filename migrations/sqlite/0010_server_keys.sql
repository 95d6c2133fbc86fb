-- +goose Up
-- The key that the nodes share where none is configured: at most one row.
CREATE TABLE server_keys (
    single INTEGER NOT NULL DEFAULT 1 PRIMARY KEY CHECK (single = 1),
    key    BLOB    NOT NULL CHECK (typeof(key) = 'blob' AND length(key) = 32)
);

-- +goose Down
DROP TABLE server_keys;
