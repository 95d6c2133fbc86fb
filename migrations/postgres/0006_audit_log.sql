-- +goose Up
SET LOCAL statement_timeout = 0;

-- Every row's hash covers the row before it on the same day (domain/audit). The
-- ids of users stay when the user goes, so there is no foreign key.
CREATE TABLE audit_log (
    day          text        COLLATE "C" NOT NULL, -- UTC, 2006-01-02
    seq          bigint      NOT NULL CHECK (seq >= 1),
    id           uuid        NOT NULL,
    at           timestamptz NOT NULL,
    event        text        COLLATE "C" NOT NULL,
    outcome      text        COLLATE "C" NOT NULL,
    actor_id     uuid,                             -- NULL where nobody is known
    subject_type text        COLLATE "C" NOT NULL, -- empty for none
    subject_id   text        COLLATE "C" NOT NULL,
    ip           text        NOT NULL,             -- empty where it is not known
    user_agent   text        NOT NULL,
    request_id   text        NOT NULL,
    detail       text        NOT NULL,             -- a JSON object; as text, which keeps what was hashed
    hash         bytea       NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (day, seq)
);

CREATE INDEX audit_log_actor_id_idx ON audit_log (actor_id, at, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_log_subject_id_idx ON audit_log (subject_id, at, seq) WHERE subject_type = 'user';

-- The last row of every day. Who appends holds the row of the day.
CREATE TABLE audit_heads (
    day  text   COLLATE "C" NOT NULL CONSTRAINT audit_heads_pkey PRIMARY KEY,
    seq  bigint NOT NULL,
    hash bytea  NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only';
END
$$;
-- +goose StatementEnd

-- It guards against mistakes, and against who can write but not alter tables.
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();

-- +goose Down
DROP TABLE audit_heads;
DROP TABLE audit_log;
DROP FUNCTION audit_log_refuse();
