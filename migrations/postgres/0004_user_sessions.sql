-- +goose Up
SET LOCAL statement_timeout = 0;

-- The columns k, v and e have the shape that gofiber/storage expects. The two
-- generated ones are read out of the value, whose layout stands in
-- adapters/fiberstore: the user's id in the bytes 0 to 15, and the moment at
-- which the session ends if it is not used, in microseconds since 1970, in the
-- bytes 57 to 64. A value too short for them is refused.
CREATE TABLE user_sessions (
    k        text   COLLATE "C" NOT NULL DEFAULT '' CONSTRAINT user_sessions_pkey PRIMARY KEY,
    v        bytea  NOT NULL,
    e        bigint NOT NULL DEFAULT 0,
    user_id  uuid   NOT NULL GENERATED ALWAYS AS (encode(substring(v FROM 1 FOR 16), 'hex')::uuid) STORED
             CONSTRAINT user_sessions_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    idle_end bigint NOT NULL GENERATED ALWAYS AS (('x' || encode(substring(v FROM 58 FOR 8), 'hex'))::bit(64)::bigint) STORED,
    CONSTRAINT user_sessions_v_check CHECK (octet_length(v) >= 74)
);

CREATE INDEX user_sessions_user_id_idx ON user_sessions (user_id);
CREATE INDEX user_sessions_idle_end_idx ON user_sessions (idle_end);
CREATE INDEX user_sessions_e_idx ON user_sessions (e);

-- +goose Down
DROP TABLE user_sessions;
