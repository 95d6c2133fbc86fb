-- +goose Up
SET LOCAL statement_timeout = 0;

-- A product that has grants is marked as shared, whoever gives them and however:
-- lists look for grants only where there may be some.
-- +goose StatementBegin
CREATE FUNCTION product_is_shared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE products SET sharing = 1 WHERE id = NEW.product_id AND sharing = 0;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER product_grants_shared AFTER INSERT OR UPDATE OF product_id ON product_grants FOR EACH ROW EXECUTE FUNCTION product_is_shared();
UPDATE products SET sharing = 1 WHERE sharing = 0 AND id IN (SELECT product_id FROM product_grants);

-- +goose Down
DROP TRIGGER product_grants_shared ON product_grants;
DROP FUNCTION product_is_shared();
