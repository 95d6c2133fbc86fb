-- +goose Up
-- Migrations may take longer than a request may.
SET LOCAL statement_timeout = 0;

CREATE TABLE users (
    id              uuid        NOT NULL CONSTRAINT users_pkey PRIMARY KEY,
    email           text        NOT NULL,
    email_canonical text        COLLATE "C" NOT NULL CONSTRAINT users_email_canonical_key UNIQUE,
    name            text        NOT NULL,
    roles           jsonb       NOT NULL CHECK (jsonb_typeof(roles) = 'array'),
    status          text        NOT NULL CHECK (status IN ('active', 'disabled')),
    email_verified  boolean     NOT NULL,
    password_hash   text        NOT NULL,
    session_epoch   bigint      NOT NULL CHECK (session_epoch >= 0),
    revision        bigint      NOT NULL CHECK (revision >= 1), -- raised by every write, for optimistic locking
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);

-- +goose Down
DROP TABLE users;
