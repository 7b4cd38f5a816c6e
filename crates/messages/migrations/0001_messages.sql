-- seq: the order in which an app's messages were persisted; persisted_at never goes back along it.
CREATE TABLE messages (
    app TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    persisted_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (app, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX messages_id ON messages (app, id);

-- How far the stream has been persisted. Whoever moves it has it until the commit: nobody's seq is passed over.
CREATE TABLE message_ends (
    app TEXT PRIMARY KEY,
    next_offset BIGINT NOT NULL,
    next_seq BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);

-- Messages that the store refused, and those redriven: tried again one by one, when they are due.
CREATE TABLE message_retries (
    app TEXT NOT NULL,
    id TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Those before it was a dead letter.
    attempts_before BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (app, id)
);
CREATE INDEX message_retries_due ON message_retries (next_at);

CREATE TABLE message_schemas (
    app TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    on_mismatch TEXT NOT NULL,
    document TEXT NOT NULL
);
