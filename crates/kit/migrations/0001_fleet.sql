-- Who does, alone in the fleet, what only one may do. A beat rises with every change of the row; that it rises
-- shows that the holder lives. Instants are by the holder's clock, and for people only.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    beat BIGINT NOT NULL,
    since BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL
);

-- Instants are by each process's own clock.
CREATE TABLE processes (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    roles TEXT NOT NULL,
    version TEXT NOT NULL,
    address TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    lag_ms BIGINT NOT NULL,
    detail TEXT
);
