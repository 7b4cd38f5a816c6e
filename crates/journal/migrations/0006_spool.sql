-- A node's spool: which it is, and how far Kafka has its streams.
CREATE TABLE spool (
    name TEXT PRIMARY KEY
);
CREATE TABLE shipped (
    stream BIGINT PRIMARY KEY,
    -- Everything before it is in Kafka.
    position BIGINT NOT NULL,
    mark TEXT NOT NULL
);
