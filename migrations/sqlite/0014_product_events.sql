-- +goose Up
-- Events that subscribers are to be told of, a row for each of them
-- (domain/product, application/events). A product that was deleted is told of
-- too, so there is no foreign key to it; what waits goes with the owner.
CREATE TABLE product_events (
    id         TEXT      NOT NULL PRIMARY KEY,
    subscriber TEXT      NOT NULL,
    event_id   TEXT      NOT NULL,
    kind       TEXT      NOT NULL,
    product_id TEXT      NOT NULL,
    owner_id   TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    version    INTEGER   NOT NULL,
    rank       INTEGER   NOT NULL, -- among the events of one version
    before     TEXT,               -- a JSON object; NULL for a new product
    after      TEXT,               -- a JSON object; NULL for one that was deleted
    by_id      TEXT,               -- NULL where nobody was signed in; without a foreign key, it stays
    created_at TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    due_at     TIMESTAMP NOT NULL CHECK (typeof(due_at) = 'integer'),
    attempts   INTEGER   NOT NULL CHECK (attempts >= 0),
    last_error TEXT      NOT NULL,
    buried_at  TIMESTAMP CHECK (typeof(buried_at) IN ('integer', 'null')), -- since when it is tried no more
    UNIQUE (subscriber, product_id, version, rank)
);

CREATE INDEX product_events_due_at_idx ON product_events (subscriber, due_at, id) WHERE buried_at IS NULL;
CREATE INDEX product_events_buried_at_idx ON product_events (buried_at) WHERE buried_at IS NOT NULL;
CREATE INDEX product_events_owner_id_idx ON product_events (owner_id);

-- +goose Down
DROP TABLE product_events;
