-- +goose Up
SET LOCAL statement_timeout = 0;

-- The counters of domain/throttle, counted by one statement of
-- adapters/gormrepo. Times are in microseconds since 1970.
CREATE TABLE throttles (
    key           text    COLLATE "C" NOT NULL CONSTRAINT throttles_pkey PRIMARY KEY,
    tries         bigint  NOT NULL CHECK (tries >= 0),
    since         bigint  NOT NULL,
    blocked_until bigint  NOT NULL CHECK (blocked_until >= since),
    refused       boolean NOT NULL -- whether the try that was asked for last was
);

CREATE INDEX throttles_blocked_until_idx ON throttles (blocked_until);

-- +goose Down
DROP TABLE throttles;
