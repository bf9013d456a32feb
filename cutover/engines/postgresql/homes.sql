-- name: create
CREATE TABLE cutover.layout (
    cutover_homes integer NOT NULL,
    is_only boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (is_only)
);
INSERT INTO cutover.layout (cutover_homes) VALUES (1);
-- An id is its UTF-8 bytes: to the letter, NUL included, whatever encoding the database has.
CREATE TABLE cutover.homes (
    migration text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id bytea NOT NULL,
    side text NOT NULL CHECK (side IN ('old', 'new')),
    at timestamptz NOT NULL,
    until timestamptz,
    PRIMARY KEY (migration, kind, id)
);
CREATE INDEX homes_until ON cutover.homes (until) WHERE until IS NOT NULL;

-- name: places
SELECT to_regclass('cutover.layout') IS NOT NULL AS ours,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = %(name)s) AS present,
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(name)s) AS filled,
    to_regclass('cutover.layout') IS NOT NULL AND to_regclass('cutover.homes') IS NOT NULL AS whole;

-- name: layout
SELECT cutover_homes FROM cutover.layout;

-- name: migrations
WITH RECURSIVE names (name) AS (
    SELECT min(migration) FROM cutover.homes
    UNION ALL
    SELECT (SELECT min(h.migration) FROM cutover.homes h WHERE h.migration > n.name) FROM names n
    WHERE n.name IS NOT NULL
)
SELECT name FROM names WHERE name IS NOT NULL ORDER BY name;

-- name: find
SELECT id, side FROM cutover.homes
WHERE migration = %(migration)s AND kind = %(kind)s AND id = ANY (%(ids)s::bytea[]) AND (until IS NULL OR until > now());

-- name: find_one
SELECT side FROM cutover.homes
WHERE migration = '{migration}' AND kind = '{kind}' AND id = E'\\x{id}' AND (until IS NULL OR until > now());

-- name: claim_one
-- What most claims are. It gives no row where there is one already, be its time over. Its commit is durable whatever the
-- database's default; stronger settings are left alone.
INSERT INTO cutover.homes (migration, kind, id, side, at, until)
VALUES ('{migration}', '{kind}', E'\\x{id}', '{side}', CASE WHEN current_setting('synchronous_commit') <> 'off'
    OR set_config('synchronous_commit', 'on', true) = 'on' THEN now() END, {until})
ON CONFLICT (migration, kind, id) DO NOTHING
RETURNING side;

-- name: claim
-- Whoever finds neither a home nor writes one was beaten by another since the statement began: to be asked again. What
-- can be seen was flushed by whoever wrote it. A home that is there is only read. In the order of the ids, so that two
-- of these never wait for each other.
WITH given AS (
    SELECT * FROM unnest(%(ids)s::bytea[], %(sides)s::text[]) AS g (id, side)
), held AS (
    SELECT h.id, h.side FROM given g JOIN cutover.homes h
        ON h.migration = %(migration)s AND h.kind = %(kind)s AND h.id = g.id AND (h.until IS NULL OR h.until > now())
), won AS (
    INSERT INTO cutover.homes AS h (migration, kind, id, side, at, until)
    SELECT %(migration)s, %(kind)s, g.id, g.side, now(), now() + %(keep)s::interval
    FROM given g WHERE NOT EXISTS (SELECT FROM held WHERE held.id = g.id) ORDER BY g.id
    ON CONFLICT (migration, kind, id) DO UPDATE
        SET side = excluded.side, at = excluded.at, until = excluded.until
        WHERE h.until <= now()
    RETURNING id, side
)
SELECT id, side FROM held UNION ALL SELECT id, side FROM won;

-- name: rehome
WITH given AS (
    SELECT * FROM unnest(%(ids)s::bytea[]) AS g (id)
), held AS (
    SELECT h.id, h.side FROM given g JOIN cutover.homes h
        ON h.migration = %(migration)s AND h.kind = %(kind)s AND h.id = g.id AND (h.until IS NULL OR h.until > now())
), moved AS (
    INSERT INTO cutover.homes AS h (migration, kind, id, side, at, until)
    SELECT %(migration)s, %(kind)s, g.id, 'new', now(), now() + %(keep)s::interval
    FROM given g WHERE NOT EXISTS (SELECT FROM held WHERE held.id = g.id AND held.side = 'new') ORDER BY g.id
    ON CONFLICT (migration, kind, id) DO UPDATE
        SET side = excluded.side, at = excluded.at,
            until = CASE WHEN h.until <= now() THEN excluded.until ELSE h.until END
)
SELECT id, side FROM held;

-- name: forget
DELETE FROM cutover.homes h USING (
    SELECT migration, kind, id FROM cutover.homes WHERE until <= now()
    ORDER BY until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS gone
WHERE h.migration = gone.migration AND h.kind = gone.kind AND h.id = gone.id;

-- name: count
WITH piece AS (
    SELECT kind, id, CASE WHEN until IS NULL OR until > now() THEN side END AS side FROM cutover.homes
    WHERE migration = %(migration)s AND (kind, id) > (%(kind)s, %(id)s::bytea)
    ORDER BY kind, id LIMIT %(limit)s
)
SELECT kind, (SELECT id FROM piece ORDER BY kind DESC, id DESC LIMIT 1),
    count(*) FILTER (WHERE side = 'old'), count(*) FILTER (WHERE side = 'new')
FROM piece GROUP BY kind ORDER BY kind;
