-- What the store is known by to those who remember positions in its streams: another one after a restore, so that
-- nobody takes records for others that had the same offsets before it. Made at the next start if it is not there.
CREATE TABLE lineage (
    one BIGINT PRIMARY KEY,
    id TEXT NOT NULL
);
