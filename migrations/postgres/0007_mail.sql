-- +goose Up
SET LOCAL statement_timeout = 0;

-- What the links in mails stand for: of the token only the SHA-256 is kept.
CREATE TABLE tickets (
    key             text        COLLATE "C" NOT NULL CONSTRAINT tickets_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT tickets_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    purpose         text        COLLATE "C" NOT NULL,
    email           text        NOT NULL,
    email_canonical text        COLLATE "C" NOT NULL,
    issued_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    CONSTRAINT tickets_user_id_purpose_key UNIQUE (user_id, purpose)
);

CREATE INDEX tickets_expires_at_idx ON tickets (expires_at);

-- Letters that are to be sent. They hold no token.
CREATE TABLE outbox (
    id              uuid        NOT NULL CONSTRAINT outbox_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL CONSTRAINT outbox_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    kind            text        COLLATE "C" NOT NULL,
    email           text        NOT NULL,
    email_canonical text        COLLATE "C" NOT NULL,
    language        text        COLLATE "C" NOT NULL,
    detail          text        NOT NULL, -- a JSON object
    created_at      timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    attempts        bigint      NOT NULL CHECK (attempts >= 0),
    last_error      text        NOT NULL
);

CREATE INDEX outbox_due_at_idx ON outbox (due_at, id);
CREATE INDEX outbox_user_id_idx ON outbox (user_id);

-- +goose Down
DROP TABLE outbox;
DROP TABLE tickets;
