-- name: create
CREATE TABLE IF NOT EXISTS homes_layout (
    version INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS homes (
    migration TEXT NOT NULL,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('old', 'new')),
    at INTEGER NOT NULL, -- milliseconds since 1970
    until INTEGER,
    PRIMARY KEY (migration, kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS homes_until ON homes (until) WHERE until IS NOT NULL;

-- name: name_layout
INSERT INTO homes_layout (version) SELECT :version WHERE NOT EXISTS (SELECT 1 FROM homes_layout);

-- name: is_there
SELECT count(*) FROM sqlite_master WHERE name = 'homes_layout';

-- name: layout
SELECT version FROM homes_layout;

-- name: migrations
WITH RECURSIVE names (name) AS (
    SELECT min(migration) FROM homes
    UNION ALL
    SELECT (SELECT min(migration) FROM homes WHERE migration > name) FROM names WHERE name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL;

-- name: find
SELECT side FROM homes
WHERE migration = :migration AND kind = :kind AND id = :id AND (until IS NULL OR until > :now);

-- name: put
INSERT INTO homes (migration, kind, id, side, at, until) VALUES (:migration, :kind, :id, :side, :now, :until)
ON CONFLICT (migration, kind, id) DO UPDATE SET side = excluded.side, at = excluded.at, until = excluded.until;

-- name: move
UPDATE homes SET side = :side, at = :now WHERE migration = :migration AND kind = :kind AND id = :id;

-- name: forget
DELETE FROM homes WHERE (migration, kind, id) IN (
    SELECT migration, kind, id FROM homes WHERE until <= :now ORDER BY until LIMIT :limit
);

-- name: count
SELECT kind, id, side, until FROM homes
WHERE migration = :migration AND (kind, id) > (:kind, :id)
ORDER BY kind, id LIMIT :limit;
