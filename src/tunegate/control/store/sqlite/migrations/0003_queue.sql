-- Jobs that wait to be launched wait here, so that the queues of engines stay short.
-- min_writer: 3
ALTER TABLE job ADD COLUMN launcher TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;  -- 1: waits to be launched

UPDATE job SET
    launcher = CAST(record AS TEXT) ->> '$.launcher',
    queued = state = 'queued' AND coalesce(CAST(record AS TEXT) ->> '$.desired', 'run') = 'run';

DROP INDEX job_due;
CREATE INDEX job_due ON job (due_ms) WHERE active = 1 AND queued = 0;
CREATE INDEX job_queue ON job (launcher, due_ms, number) WHERE queued = 1;
CREATE INDEX job_in_engine_queue ON job (launcher) WHERE state IN ('launching', 'pending');
