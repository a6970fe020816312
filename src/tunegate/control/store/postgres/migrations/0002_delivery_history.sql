-- The latest tries of a delivery: JSON array of [ms, what came of it].
ALTER TABLE delivery ADD COLUMN history TEXT NOT NULL DEFAULT '[]';
