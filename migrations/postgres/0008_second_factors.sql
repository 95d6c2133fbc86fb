-- +goose Up
SET LOCAL statement_timeout = 0;

CREATE TABLE second_factors (
    user_id      uuid        NOT NULL CONSTRAINT second_factors_pkey PRIMARY KEY
                 CONSTRAINT second_factors_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    secret       bytea       NOT NULL, -- sealed by the application
    started_at   timestamptz NOT NULL,
    confirmed_at timestamptz,          -- NULL while it is being set up
    last_step    bigint      NOT NULL,
    recovery     text        NOT NULL, -- a JSON array of SHA-256 in hexadecimal
    revision     bigint      NOT NULL  -- raised by every write, for optimistic locking; begins anywhere
);

-- +goose Down
DROP TABLE second_factors;
