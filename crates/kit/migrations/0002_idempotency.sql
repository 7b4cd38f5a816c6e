-- scope: SHA-256 of principal, method, path and key. An answer without a status is in flight, with its owner, a process.
CREATE TABLE idempotency (
    scope BLOB PRIMARY KEY,
    app TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    owner TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    status BIGINT,
    headers TEXT,
    body BLOB,
    is_sealed BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX idempotency_expires ON idempotency (expires_at);
CREATE INDEX idempotency_app ON idempotency (app);
