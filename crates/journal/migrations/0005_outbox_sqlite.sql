-- What transactions append to streams in Kafka: here with the transaction, there soon after.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream BIGINT NOT NULL,
    at BIGINT NOT NULL,
    frame BLOB NOT NULL
);
