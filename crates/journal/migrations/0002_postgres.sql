-- What PostgreSQL has beyond the common schema.

-- Remembered ids: every process of a fleet asks the same table. Rows come in the order of `at`.
CREATE TABLE seen_ids (
    hash BYTEA PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX seen_ids_at ON seen_ids USING brin (at);

-- Keys the hashes of all processes.
INSERT INTO seen_seed (seed) SELECT CAST(floor(random() * 9e15) AS BIGINT);

-- Batches are compressed already; out of line, so that the rows stay short.
ALTER TABLE journal ALTER COLUMN data SET STORAGE EXTERNAL;

-- One row a stream, changed with every append: room for the next version beside it, and vacuum soon.
ALTER TABLE streams SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
ALTER TABLE stream_counts SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE consumer_groups SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
