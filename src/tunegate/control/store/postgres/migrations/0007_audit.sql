-- What happened: first as it arrives, in the transaction of what it tells of; then chained, each entry to the one before.
CREATE TABLE audit_arrival (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms  BIGINT NOT NULL,
    body   BYTEA   NOT NULL  -- JSON
);

CREATE TABLE audit_entry (
    sequence BIGINT PRIMARY KEY,
    at_ms    BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    tenant   TEXT   NOT NULL,
    body     BYTEA   NOT NULL  -- one line of canonical JSON, with the hash of the line before
);

CREATE INDEX audit_entry_time ON audit_entry (at_ms);

CREATE TABLE audit_head (
    one      SMALLINT PRIMARY KEY CHECK (one = 1),
    sequence BIGINT NOT NULL,
    hash     TEXT   NOT NULL
);

INSERT INTO audit_head (one, sequence, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
