-- +goose Up
-- The counters of domain/throttle, counted by one statement of
-- adapters/gormrepo. Times are in microseconds since 1970.
CREATE TABLE throttles (
    key           TEXT    NOT NULL PRIMARY KEY,
    tries         INTEGER NOT NULL CHECK (tries >= 0),
    since         INTEGER NOT NULL,
    blocked_until INTEGER NOT NULL CHECK (blocked_until >= since),
    refused       BOOLEAN NOT NULL CHECK (refused IN (0, 1)) -- whether the try that was asked for last was
) WITHOUT ROWID;

CREATE INDEX throttles_blocked_until_idx ON throttles (blocked_until);

-- +goose Down
DROP TABLE throttles;
