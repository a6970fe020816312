-- Which life of the database this is: renewed after a restore from a backup, and part of the name of every new run.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO meta (name, value) VALUES ('generation', substr(md5(random()::text || clock_timestamp()::text), 1, 8));
