-- What was given up. seq: the app's own order, without a number that a later commit could take before.
CREATE TABLE dead_letters (
    app TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    -- What was given up: its id, and where it is found.
    source TEXT NOT NULL,
    link TEXT NOT NULL,
    media_type TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (app, seq)
);
CREATE UNIQUE INDEX dead_letters_id ON dead_letters (app, id);
CREATE UNIQUE INDEX dead_letters_source ON dead_letters (app, kind, source);
CREATE INDEX dead_letters_last_at ON dead_letters (last_at);
CREATE TABLE dead_letter_ends (
    app TEXT PRIMARY KEY,
    next_seq BIGINT NOT NULL
);
