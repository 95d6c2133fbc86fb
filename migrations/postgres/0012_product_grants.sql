-- +goose Up
SET LOCAL statement_timeout = 0;

CREATE TABLE product_grants (
    product_id uuid        NOT NULL CONSTRAINT product_grants_product_id_fkey REFERENCES products (id) ON DELETE CASCADE,
    user_id    uuid        NOT NULL CONSTRAINT product_grants_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    role       text        COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'editor')),
    created_at timestamptz NOT NULL,
    CONSTRAINT product_grants_pkey PRIMARY KEY (product_id, user_id)
);

-- What is shared with somebody, for lists and for when they leave.
CREATE INDEX product_grants_user_id_idx ON product_grants (user_id, product_id, role);

-- Raised with every change of a product's grants, for optimistic locking: what
-- was decided by a grant that is gone is not written.
ALTER TABLE products ADD COLUMN sharing bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE products DROP COLUMN sharing;
DROP TABLE product_grants;
