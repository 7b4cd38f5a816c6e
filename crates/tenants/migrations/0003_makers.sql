-- Who made it, as an idempotency key names its owner; empty for the console, the first start and apps from before.
ALTER TABLE apps ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
CREATE INDEX apps_created_by ON apps (created_by);

-- The key that is made in its place; a key is replaced once.
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT NOT NULL DEFAULT '';
