-- Counts the leases of a delivery, so that a holder that was frozen can't write over the next one's.
ALTER TABLE delivery ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
