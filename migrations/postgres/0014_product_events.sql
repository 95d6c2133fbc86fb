-- +goose Up
SET LOCAL statement_timeout = 0;

-- Events that subscribers are to be told of, a row for each of them
-- (domain/product, application/events). A product that was deleted is told of
-- too, so there is no foreign key to it; what waits goes with the owner.
CREATE TABLE product_events (
    id         uuid        NOT NULL CONSTRAINT product_events_pkey PRIMARY KEY,
    subscriber text        COLLATE "C" NOT NULL,
    event_id   uuid        NOT NULL,
    kind       text        COLLATE "C" NOT NULL,
    product_id uuid        NOT NULL,
    owner_id   uuid        NOT NULL CONSTRAINT product_events_owner_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    version    bigint      NOT NULL,
    rank       bigint      NOT NULL, -- among the events of one version
    before     text,                 -- a JSON object; NULL for a new product
    after      text,                 -- a JSON object; NULL for one that was deleted
    by_id      uuid,                 -- NULL where nobody was signed in; without a foreign key, it stays
    created_at timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,
    attempts   bigint      NOT NULL CHECK (attempts >= 0),
    last_error text        NOT NULL,
    buried_at  timestamptz,          -- since when it is tried no more
    CONSTRAINT product_events_place_key UNIQUE (subscriber, product_id, version, rank)
);

CREATE INDEX product_events_due_at_idx ON product_events (subscriber, due_at, id) WHERE buried_at IS NULL;
CREATE INDEX product_events_buried_at_idx ON product_events (buried_at) WHERE buried_at IS NOT NULL;
CREATE INDEX product_events_owner_id_idx ON product_events (owner_id);

-- +goose Down
DROP TABLE product_events;
