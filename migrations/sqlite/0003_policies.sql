-- +goose Up
CREATE TABLE policies (
    id        TEXT NOT NULL PRIMARY KEY,
    role      TEXT NOT NULL,
    resource  TEXT NOT NULL,
    action    TEXT NOT NULL,
    condition TEXT NOT NULL,
    effect    TEXT NOT NULL,
    UNIQUE (role, resource, action, condition, effect)
) WITHOUT ROWID;

CREATE TABLE role_inherits (
    role   TEXT NOT NULL,
    parent TEXT NOT NULL,
    PRIMARY KEY (role, parent)
) WITHOUT ROWID;

-- One row, raised by one in the transaction of every change of the two tables
-- above.
CREATE TABLE policy_state (
    single  INTEGER NOT NULL DEFAULT 1 PRIMARY KEY CHECK (single = 1),
    version INTEGER NOT NULL CHECK (version >= 0)
);
INSERT INTO policy_state (version) VALUES (0);

-- +goose Down
DROP TABLE policy_state;
DROP TABLE role_inherits;
DROP TABLE policies;
