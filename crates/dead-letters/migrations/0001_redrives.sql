-- Work that runs letters again by a filter. next_seq: how far it is; end_seq: what came later is not its business.
CREATE TABLE redrives (
    app TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The filter; empty texts ask for nothing.
    kind TEXT NOT NULL,
    code TEXT NOT NULL,
    source TEXT NOT NULL,
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    rate BIGINT NOT NULL,
    max_letters BIGINT,
    next_seq BIGINT NOT NULL,
    end_seq BIGINT NOT NULL,
    matched BIGINT NOT NULL,
    redriven BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (app, id)
);
CREATE INDEX redrives_state ON redrives (state, ended_at);
-- How many letters there are of each kind, and since when, without reading them.
CREATE INDEX dead_letters_kind ON dead_letters (kind, last_at);
