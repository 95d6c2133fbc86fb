-- +goose Up
-- Answers that are given again to who repeats a request (domain/idempotency). Of
-- keys and bodies only the SHA-256 is kept.
CREATE TABLE idempotency_keys (
    id         TEXT      NOT NULL PRIMARY KEY,
    user_id    TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    request    BLOB      NOT NULL CHECK (typeof(request) = 'blob' AND length(request) = 32),
    answer     BLOB      NOT NULL CHECK (typeof(answer) = 'blob' AND length(answer) <= 1048576),
    created_at TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    expires_at TIMESTAMP NOT NULL CHECK (typeof(expires_at) = 'integer')
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_user_id_idx ON idempotency_keys (user_id);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);

-- +goose Down
DROP TABLE idempotency_keys;
