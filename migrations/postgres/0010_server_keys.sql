-- +goose Up
SET LOCAL statement_timeout = 0;

-- The key that the nodes share where none is configured: at most one row.
CREATE TABLE server_keys (
    single boolean NOT NULL DEFAULT true CONSTRAINT server_keys_pkey PRIMARY KEY CHECK (single),
    key    bytea   NOT NULL CHECK (octet_length(key) = 32)
);

-- +goose Down
DROP TABLE server_keys;
