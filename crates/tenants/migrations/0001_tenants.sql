CREATE TABLE apps (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    bundle_id TEXT NOT NULL UNIQUE,
    truncate_addresses BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);

-- secret_hash: SHA-256 of the key; the key itself is nowhere.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL REFERENCES apps (id),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    secret_hash BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX api_keys_app ON api_keys (app);
