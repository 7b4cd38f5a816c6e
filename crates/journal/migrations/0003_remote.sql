-- Streams in Kafka: what the store keeps of them.

-- Counts per minute and kind, as each node's spool has them: absolute, so that telling them twice changes nothing.
CREATE TABLE spool_counts (
    spool TEXT NOT NULL,
    stream BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    kind TEXT NOT NULL,
    record_count BIGINT NOT NULL,
    PRIMARY KEY (stream, minute, kind, spool)
);

-- Who brings the outbox to Kafka: one process at a time.
CREATE TABLE outbox_relay (
    id BIGINT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
