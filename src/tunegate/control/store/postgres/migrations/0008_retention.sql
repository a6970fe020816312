-- How long finished jobs and what belongs to them are kept. `settled_ms`: since when nothing of a job is left to do.
ALTER TABLE job ADD COLUMN settled_ms BIGINT;
ALTER TABLE job ADD COLUMN kept_events SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE job ADD COLUMN kept_deliveries SMALLINT NOT NULL DEFAULT 1;

UPDATE job SET settled_ms = (convert_from(record, 'UTF8')::jsonb ->> 'updated_ms')::bigint WHERE active = 0;

CREATE INDEX job_settled ON job (settled_ms) WHERE settled_ms IS NOT NULL;
CREATE INDEX job_kept_events ON job (settled_ms) WHERE settled_ms IS NOT NULL AND kept_events = 1;
CREATE INDEX job_kept_deliveries ON job (settled_ms) WHERE settled_ms IS NOT NULL AND kept_deliveries = 1;

INSERT INTO counter (name, value) VALUES ('retention', 0);
