-- +goose Up
-- To look for the grants of a product costs nothing here.
SELECT 1;

-- +goose Down
SELECT 1;
