-- +goose Up
SET LOCAL statement_timeout = 0;

CREATE TABLE policies (
    id        uuid NOT NULL CONSTRAINT policies_pkey PRIMARY KEY,
    role      text COLLATE "C" NOT NULL,
    resource  text COLLATE "C" NOT NULL,
    action    text COLLATE "C" NOT NULL,
    condition text COLLATE "C" NOT NULL,
    effect    text COLLATE "C" NOT NULL,
    CONSTRAINT policies_words_key UNIQUE (role, resource, action, condition, effect)
);

CREATE TABLE role_inherits (
    role   text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    CONSTRAINT role_inherits_pkey PRIMARY KEY (role, parent)
);

-- One row, raised by one in the transaction of every change of the two tables
-- above.
CREATE TABLE policy_state (
    single  boolean NOT NULL DEFAULT true CONSTRAINT policy_state_pkey PRIMARY KEY CHECK (single),
    version bigint  NOT NULL CHECK (version >= 0)
);
INSERT INTO policy_state (version) VALUES (0);

-- +goose Down
DROP TABLE policy_state;
DROP TABLE role_inherits;
DROP TABLE policies;
