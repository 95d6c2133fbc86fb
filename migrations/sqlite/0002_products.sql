-- +goose Up
CREATE TABLE products (
    id               TEXT      NOT NULL PRIMARY KEY,
    owner_id         TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name             TEXT      NOT NULL, -- sorts by code point, the same in every store
    description      TEXT      NOT NULL,
    name_fold        TEXT      NOT NULL, -- folded by the application, for searching
    description_fold TEXT      NOT NULL,
    price_amount     INTEGER   NOT NULL CHECK (price_amount >= 0),
    price_currency   TEXT      NOT NULL CHECK (price_currency GLOB '[A-Z][A-Z][A-Z]'),
    stock            INTEGER   NOT NULL CHECK (stock >= 0),
    status           TEXT      NOT NULL CHECK (status IN ('draft', 'published', 'archived')),
    version          INTEGER   NOT NULL CHECK (version >= 1),
    created_at       TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    updated_at       TIMESTAMP NOT NULL CHECK (typeof(updated_at) = 'integer')
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
