-- What transactions append to streams in Kafka: here with the transaction, there soon after.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream BIGINT NOT NULL,
    at BIGINT NOT NULL,
    frame BYTEA NOT NULL
);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
