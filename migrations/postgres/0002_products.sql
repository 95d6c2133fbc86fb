-- +goose Up
SET LOCAL statement_timeout = 0;

CREATE TABLE products (
    id               uuid        NOT NULL CONSTRAINT products_pkey PRIMARY KEY,
    owner_id         uuid        NOT NULL CONSTRAINT products_owner_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    name             text        COLLATE "C" NOT NULL, -- sorts by code point, the same in every store
    description      text        NOT NULL,
    name_fold        text        COLLATE "C" NOT NULL, -- folded by the application, for searching
    description_fold text        COLLATE "C" NOT NULL,
    price_amount     bigint      NOT NULL CHECK (price_amount >= 0),
    price_currency   text        COLLATE "C" NOT NULL CHECK (price_currency ~ '^[A-Z]{3}$'),
    stock            bigint      NOT NULL CHECK (stock >= 0),
    status           text        COLLATE "C" NOT NULL CHECK (status IN ('draft', 'published', 'archived')),
    version          bigint      NOT NULL CHECK (version >= 1),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL
);

-- One for each order of a list, and for the two ways in which it is usually
-- narrowed; every order ends with the id, so that it is total.
CREATE INDEX products_created_at_idx ON products (created_at, id);
CREATE INDEX products_name_idx ON products (name, id);
CREATE INDEX products_price_amount_idx ON products (price_amount, id);
CREATE INDEX products_owner_id_idx ON products (owner_id, created_at, id);
CREATE INDEX products_status_idx ON products (status, created_at, id);

-- +goose Down
DROP TABLE products;
