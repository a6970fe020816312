-- Times are ms since 1970 on the store's clock. `record` and `body` are JSON.

CREATE TABLE job (
    number         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order of arrival, for lists
    uid            TEXT    NOT NULL UNIQUE,
    tenant         TEXT    NOT NULL,
    job_id         TEXT    NOT NULL,
    backend        TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    created_ms     BIGINT NOT NULL,
    active         SMALLINT NOT NULL,  -- 1: not final, or final with something left to tidy
    due_ms         BIGINT NOT NULL,
    woken          SMALLINT NOT NULL DEFAULT 0,  -- 1: woken since it was leased
    epoch          BIGINT NOT NULL,
    owner          TEXT,
    lease_until_ms BIGINT NOT NULL,
    record         BYTEA  NOT NULL,
    UNIQUE (tenant, job_id)
);

CREATE INDEX job_list ON job (tenant, number);
CREATE INDEX job_state ON job (state, created_ms);
CREATE INDEX job_due ON job (due_ms) WHERE active = 1;

CREATE TABLE job_metadata (
    tenant TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    number BIGINT NOT NULL REFERENCES job (number) ON DELETE CASCADE,
    PRIMARY KEY (tenant, key, value, number)
);

CREATE INDEX job_metadata_number ON job_metadata (number);

CREATE TABLE attempt (
    attempt_id TEXT    PRIMARY KEY,
    uid        TEXT    NOT NULL REFERENCES job (uid) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    launcher   TEXT    NOT NULL,
    run_name   TEXT    NOT NULL,
    cleaned    SMALLINT NOT NULL,
    record     BYTEA  NOT NULL,
    UNIQUE (uid, number)
);

CREATE INDEX attempt_run ON attempt (launcher, run_name) WHERE cleaned = 0;

CREATE TABLE trainer_event (
    attempt_id TEXT    NOT NULL REFERENCES attempt (attempt_id) ON DELETE CASCADE,
    sequence   BIGINT NOT NULL,
    body       BYTEA  NOT NULL,
    PRIMARY KEY (attempt_id, sequence)
);

CREATE TABLE job_event (
    uid      TEXT    NOT NULL REFERENCES job (uid) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    type     TEXT    NOT NULL,
    body     BYTEA  NOT NULL,
    PRIMARY KEY (uid, sequence)
);

-- `head` marks the next one of its job and channel. `outcome` is null as long as it waits, then delivered or dead.
CREATE TABLE delivery (
    delivery_id    TEXT    PRIMARY KEY,
    uid            TEXT    NOT NULL REFERENCES job (uid) ON DELETE CASCADE,
    channel        TEXT    NOT NULL,
    sequence       BIGINT NOT NULL,
    final          SMALLINT NOT NULL,
    head           SMALLINT NOT NULL,
    tries          BIGINT NOT NULL DEFAULT 0,
    created_ms     BIGINT NOT NULL,
    next_at_ms     BIGINT NOT NULL,
    owner          TEXT,
    lease_until_ms BIGINT NOT NULL DEFAULT 0,
    outcome        TEXT,
    ended_ms       BIGINT,
    note           TEXT,
    body           BYTEA  NOT NULL
);

CREATE INDEX delivery_due ON delivery (next_at_ms) WHERE head = 1;
CREATE INDEX delivery_queue ON delivery (uid, channel, outcome, sequence);
CREATE INDEX delivery_waiting ON delivery (created_ms) WHERE outcome IS NULL;

CREATE TABLE sealed (
    uid   TEXT NOT NULL REFERENCES job (uid) ON DELETE CASCADE,
    field TEXT NOT NULL,
    body  BYTEA NOT NULL,
    PRIMARY KEY (uid, field)
);

CREATE TABLE counter (
    name  TEXT    PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counter (name, value) VALUES ('fence', 0), ('ping', 0);
