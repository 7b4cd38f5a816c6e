-- Streams of records, kept as rows of batches.
CREATE TABLE streams (
    id BIGINT PRIMARY KEY,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Offsets that are there: first_offset up to, not including, next_offset.
    first_offset BIGINT NOT NULL DEFAULT 0,
    next_offset BIGINT NOT NULL DEFAULT 0,
    -- Bytes that the batches take, as stored.
    bytes BIGINT NOT NULL DEFAULT 0,
    last_at BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    UNIQUE (app, name)
);

-- codec: 0 as they are, 1 lz4 block. data: frames, each u32 length, u16 kind length, kind, data (little endian).
CREATE TABLE journal (
    stream BIGINT NOT NULL,
    first_offset BIGINT NOT NULL,
    record_count BIGINT NOT NULL,
    at BIGINT NOT NULL,
    codec BIGINT NOT NULL,
    raw_bytes BIGINT NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX journal_place ON journal (stream, first_offset);
CREATE INDEX journal_time ON journal (stream, at);

-- How many records of a kind became durable in a minute (minutes since 1970).
CREATE TABLE stream_counts (
    stream BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    kind TEXT NOT NULL,
    record_count BIGINT NOT NULL,
    PRIMARY KEY (stream, minute, kind)
) WITHOUT ROWID;

CREATE TABLE consumer_groups (
    stream BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- The next offset to hand out.
    committed BIGINT NOT NULL,
    holder TEXT,
    lease_until BIGINT NOT NULL DEFAULT 0,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (stream, name)
) WITHOUT ROWID;

-- Record ids seen of late: first as they came (16-byte hashes, one row a commit), then, a run at a time, sorted.
CREATE TABLE seen_recent (
    run BIGINT NOT NULL,
    at BIGINT NOT NULL,
    hashes BLOB NOT NULL
);
CREATE INDEX seen_recent_run ON seen_recent (run);
-- One row: keys the hashes, so that nobody can prepare ids that collide.
CREATE TABLE seen_seed (
    seed BIGINT NOT NULL
);
CREATE TABLE seen_runs (
    run BIGINT PRIMARY KEY,
    id_count BIGINT NOT NULL,
    newest_at BIGINT NOT NULL,
    filter BLOB NOT NULL
);
CREATE TABLE seen_sorted (
    run BIGINT NOT NULL,
    first_hash BLOB NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (run, first_hash)
) WITHOUT ROWID;
