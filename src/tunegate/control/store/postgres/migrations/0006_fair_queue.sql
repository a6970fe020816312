-- Tenants take turns: what each job holds while it runs, and how much its tenant may hold.
-- min_writer: 6
ALTER TABLE job ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN gpu_limit INTEGER;

UPDATE job SET gpus =
    coalesce((convert_from(record, 'UTF8')::jsonb #>> '{container,resources,gpus}')::integer, 0)
    * coalesce((convert_from(record, 'UTF8')::jsonb #>> '{container,resources,nodes}')::integer, 1);

DROP INDEX job_queue;
CREATE INDEX job_queue ON job (launcher, tenant, due_ms, number) WHERE queued = 1;
CREATE INDEX job_queue_leased ON job (lease_until_ms) WHERE queued = 1;
CREATE INDEX job_held ON job (tenant, gpus) WHERE queued = 0 AND state NOT IN ('cancelled', 'failed', 'succeeded');
CREATE INDEX job_unfinished ON job (tenant) WHERE state NOT IN ('cancelled', 'failed', 'succeeded');
