-- +goose Up
SET LOCAL statement_timeout = 0;

-- What is left of sessions that are over. A row is moved here out of
-- user_sessions as it is: the value holds all that there is to tell. ended_at is
-- in microseconds since 1970, as idle_end is there.
CREATE TABLE past_sessions (
    k        text   COLLATE "C" NOT NULL CONSTRAINT past_sessions_pkey PRIMARY KEY,
    v        bytea  NOT NULL,
    user_id  uuid   NOT NULL CONSTRAINT past_sessions_user_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    why      text   COLLATE "C" NOT NULL,
    ended_at bigint NOT NULL
);

CREATE INDEX past_sessions_user_id_idx ON past_sessions (user_id, ended_at);
CREATE INDEX past_sessions_ended_at_idx ON past_sessions (ended_at);

-- +goose Down
DROP TABLE past_sessions;
