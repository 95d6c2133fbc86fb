-- +goose Up
SET LOCAL statement_timeout = 0;

-- Answers that are given again to who repeats a request (domain/idempotency). Of
-- keys and bodies only the SHA-256 is kept.
CREATE TABLE idempotency_keys (
    id         text        COLLATE "C" NOT NULL CONSTRAINT idempotency_keys_pkey PRIMARY KEY,
    user_id    uuid        NOT NULL CONSTRAINT idempotency_keys_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    request    bytea       NOT NULL CHECK (octet_length(request) = 32),
    answer     bytea       NOT NULL CHECK (octet_length(answer) <= 1048576),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX idempotency_keys_user_id_idx ON idempotency_keys (user_id);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

-- +goose Down
DROP TABLE idempotency_keys;
