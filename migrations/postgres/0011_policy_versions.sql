-- +goose Up
SET LOCAL statement_timeout = 0;

-- The policy as it stood at each version, kept in the transaction that made it
-- so. A database that had a policy before has no row of it yet: it is written
-- down when the policy is changed for the first time.
CREATE TABLE policy_versions (
    version bigint      NOT NULL CONSTRAINT policy_versions_pkey PRIMARY KEY CHECK (version > 0),
    author  uuid,       -- NULL for an operator at the command line; may outlive the account
    at      timestamptz NOT NULL,
    note    text        NOT NULL,
    content text        NOT NULL -- JSON: {"rows": […], "inherits": […]}
);

-- +goose Down
DROP TABLE policy_versions;
