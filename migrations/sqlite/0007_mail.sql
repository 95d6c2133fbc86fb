-- +goose Up
-- What the links in mails stand for: of the token only the SHA-256 is kept.
CREATE TABLE tickets (
    key             TEXT      NOT NULL PRIMARY KEY,
    user_id         TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose         TEXT      NOT NULL,
    email           TEXT      NOT NULL,
    email_canonical TEXT      NOT NULL,
    issued_at       TIMESTAMP NOT NULL CHECK (typeof(issued_at) = 'integer'),
    expires_at      TIMESTAMP NOT NULL CHECK (typeof(expires_at) = 'integer'),
    UNIQUE (user_id, purpose)
) WITHOUT ROWID;

CREATE INDEX tickets_expires_at_idx ON tickets (expires_at);

-- Letters that are to be sent. They hold no token.
CREATE TABLE outbox (
    id              TEXT      NOT NULL PRIMARY KEY,
    user_id         TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind            TEXT      NOT NULL,
    email           TEXT      NOT NULL,
    email_canonical TEXT      NOT NULL,
    language        TEXT      NOT NULL,
    detail          TEXT      NOT NULL, -- a JSON object
    created_at      TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    due_at          TIMESTAMP NOT NULL CHECK (typeof(due_at) = 'integer'),
    attempts        INTEGER   NOT NULL CHECK (attempts >= 0),
    last_error      TEXT      NOT NULL
) WITHOUT ROWID;

CREATE INDEX outbox_due_at_idx ON outbox (due_at, id);
CREATE INDEX outbox_user_id_idx ON outbox (user_id);

-- +goose Down
DROP TABLE outbox;
DROP TABLE tickets;
