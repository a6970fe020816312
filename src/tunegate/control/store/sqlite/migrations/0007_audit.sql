-- What happened: first as it arrives, in the transaction of what it tells of; then chained, each entry to the one before.
CREATE TABLE audit_arrival (
    number INTEGER PRIMARY KEY,
    at_ms  INTEGER NOT NULL,
    body   BLOB   NOT NULL  -- JSON
) STRICT;

CREATE TABLE audit_entry (
    sequence INTEGER PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    kind     TEXT   NOT NULL,
    tenant   TEXT   NOT NULL,
    body     BLOB   NOT NULL  -- one line of canonical JSON, with the hash of the line before
) STRICT;

CREATE INDEX audit_entry_time ON audit_entry (at_ms);

CREATE TABLE audit_head (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    hash     TEXT   NOT NULL
) STRICT;

INSERT INTO audit_head (one, sequence, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
