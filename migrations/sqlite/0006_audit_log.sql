-- +goose Up
-- Every row's hash covers the row before it on the same day (domain/audit). The
-- ids of users stay when the user goes, so there is no foreign key.
CREATE TABLE audit_log (
    day          TEXT      NOT NULL, -- UTC, 2006-01-02
    seq          INTEGER   NOT NULL CHECK (seq >= 1),
    id           TEXT      NOT NULL,
    at           TIMESTAMP NOT NULL CHECK (typeof(at) = 'integer'),
    event        TEXT      NOT NULL,
    outcome      TEXT      NOT NULL,
    actor_id     TEXT,               -- NULL where nobody is known
    subject_type TEXT      NOT NULL, -- empty for none
    subject_id   TEXT      NOT NULL,
    ip           TEXT      NOT NULL, -- empty where it is not known
    user_agent   TEXT      NOT NULL,
    request_id   TEXT      NOT NULL,
    detail       TEXT      NOT NULL, -- a JSON object
    hash         BLOB      NOT NULL,
    PRIMARY KEY (day, seq)
);

CREATE INDEX audit_log_actor_id_idx ON audit_log (actor_id, at, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_log_subject_id_idx ON audit_log (subject_id, at, seq) WHERE subject_type = 'user';

-- The last row of every day.
CREATE TABLE audit_heads (
    day  TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL,
    hash BLOB    NOT NULL
) WITHOUT ROWID;

-- They guard against mistakes; who can alter the file can drop them.
-- +goose StatementBegin
CREATE TRIGGER audit_log_append_only_update BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_log_append_only_delete BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE audit_heads;
DROP TABLE audit_log;
