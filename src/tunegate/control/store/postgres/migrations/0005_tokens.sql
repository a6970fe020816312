-- Tokens that operators made. `record` is JSON; it holds the hash of the secret, never the secret.
CREATE TABLE token (
    token_id     TEXT    PRIMARY KEY,
    tenant       TEXT    NOT NULL,
    created_ms   BIGINT NOT NULL,
    last_used_ms BIGINT,
    record       BYTEA   NOT NULL
);

CREATE INDEX token_list ON token (created_ms, token_id);
