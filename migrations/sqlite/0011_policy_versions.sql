-- +goose Up
-- The policy as it stood at each version, kept in the transaction that made it
-- so. A database that had a policy before has no row of it yet: it is written
-- down when the policy is changed for the first time.
CREATE TABLE policy_versions (
    version INTEGER   NOT NULL PRIMARY KEY CHECK (version > 0),
    author  TEXT,     -- NULL for an operator at the command line; may outlive the account
    at      TIMESTAMP NOT NULL CHECK (typeof(at) = 'integer'),
    note    TEXT      NOT NULL,
    content TEXT      NOT NULL -- JSON: {"rows": […], "inherits": […]}
);

-- +goose Down
DROP TABLE policy_versions;
