-- What live tokens are sealed with: one key for all processes, itself sealed where the server has a key for that.
CREATE TABLE live_token_key (
    one BIGINT PRIMARY KEY,
    is_sealed BIGINT NOT NULL,
    token_key BLOB NOT NULL
);

-- Who follows an app's feed at another process of the fleet. entries: JSON, of some of the connections.
CREATE TABLE live_presence (
    app TEXT NOT NULL,
    process TEXT NOT NULL,
    connections BIGINT NOT NULL,
    entries TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (app, process)
);
CREATE INDEX live_presence_process ON live_presence (process);
