-- admins: grants and keys with the role admin that do not expire. An app keeps at least one of them, which the
-- condition of the statement that takes one away decides.
ALTER TABLE apps ADD COLUMN admins BIGINT NOT NULL DEFAULT 0;
-- The app that anonymous callers reach.
ALTER TABLE apps ADD COLUMN is_default BIGINT NOT NULL DEFAULT 0;
-- Origins of pages that may call, one a line.
ALTER TABLE apps ADD COLUMN cors_origins TEXT NOT NULL DEFAULT '';
-- Set when it was deleted: its data goes in the background, then its row.
ALTER TABLE apps ADD COLUMN deleted_at BIGINT;

-- The first letters of the key's secret: by which its owner tells it from others.
ALTER TABLE api_keys ADD COLUMN hint TEXT NOT NULL DEFAULT '';
-- Written now and then.
ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;

-- A subject within its issuer and tenant, or, where those are empty, whoever has the e-mail address.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL REFERENCES apps (id),
    issuer TEXT NOT NULL,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    UNIQUE (app, issuer, tenant, subject, email)
);

-- Rises with every change, so that processes see cheaply whether they have to read anew.
CREATE TABLE tenants_version (
    id BIGINT PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO tenants_version (id, version) VALUES (1, 1);

UPDATE apps SET admins = (
    SELECT count(*) FROM api_keys WHERE api_keys.app = apps.id AND role = 'admin' AND expires_at IS NULL
);
UPDATE apps SET is_default = 1 WHERE id = (SELECT id FROM apps ORDER BY created_at, id LIMIT 1);
