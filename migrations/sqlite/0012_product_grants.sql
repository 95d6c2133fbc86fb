-- +goose Up
CREATE TABLE product_grants (
    product_id TEXT      NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    user_id    TEXT      NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT      NOT NULL CHECK (role IN ('viewer', 'editor')),
    created_at TIMESTAMP NOT NULL CHECK (typeof(created_at) = 'integer'),
    PRIMARY KEY (product_id, user_id)
) WITHOUT ROWID;

-- What is shared with somebody, for lists and for when they leave.
CREATE INDEX product_grants_user_id_idx ON product_grants (user_id, product_id, role);

-- Raised with every change of a product's grants, for optimistic locking: what
-- was decided by a grant that is gone is not written.
ALTER TABLE products ADD COLUMN sharing INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE products DROP COLUMN sharing;
DROP TABLE product_grants;
