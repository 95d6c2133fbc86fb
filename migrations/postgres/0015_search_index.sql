-- +goose NO TRANSACTION

-- +goose Up
-- A search looks for a text anywhere in a product's name and description, and an
-- index serves it for whatever text: of a single character, of signs that LIKE
-- takes for its own, in letters that the locale of the database does not know.
-- pg_trgm can do none of these, and needs somebody who may install it; what is
-- here needs nothing but PostgreSQL, under every locale.
--
-- Products are written while the index is made. A step that was cut short may
-- have left things behind, and begins again.
SET statement_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS products_search_idx;

-- search_grams gives every character of a text, every two and every three that
-- follow one another: 21 bits of a number for each, as many as a code point
-- needs, so that each stands for itself alone. A text stands in another only if
-- all of its own are among the other's, and one of up to three characters just
-- if; see condition.contains in adapters/gormrepo. Some of them come twice, which
-- an index does not mind.
--
-- Three steps side by side through the same characters, from the first, the one
-- before it and the one before that; where they reach over an end is NULL.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION search_grams(sought text) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
DECLARE
    chars text[] := string_to_array(sought, NULL);
BEGIN
    RETURN array_remove(ARRAY(
        SELECT unnest(ARRAY[ascii(c), (ascii(b)::bigint << 21) | ascii(c), (ascii(a)::bigint << 42) | (ascii(b)::bigint << 21) | ascii(c)])
        FROM unnest(chars, NULL::text || chars, '{NULL, NULL}' || chars) AS walk (c, b, a)
    ), NULL);
END
$$;
-- +goose StatementEnd

-- A row is in the index when it is written (fastupdate off): a list of rows that
-- are still to go in would be read by every search. No statistics: to gather them
-- would make the grams of thirty thousand rows each time, and no plan hangs on
-- them.
CREATE INDEX CONCURRENTLY products_search_idx ON products
    USING gin ((search_grams(name_fold) || search_grams(description_fold))) WITH (fastupdate = off);
ALTER INDEX products_search_idx ALTER COLUMN 1 SET STATISTICS 0;
RESET statement_timeout;

-- +goose Down
DROP INDEX IF EXISTS products_search_idx;
DROP FUNCTION IF EXISTS search_grams(text);
