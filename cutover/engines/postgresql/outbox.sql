-- name: create
CREATE TABLE cutover.layout (
    cutover_mirror integer NOT NULL,
    id text NOT NULL,
    is_only boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (is_only)
);
INSERT INTO cutover.layout (cutover_mirror, id) VALUES (1, replace(gen_random_uuid()::text, '-', ''));
CREATE TABLE cutover.writes (
    migration text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    allowed_backlog bigint NOT NULL,
    confirms boolean NOT NULL,
    seen timestamptz NOT NULL,
    PRIMARY KEY (migration, flow, name)
);
-- Kept when all is delivered: a sequence is never used twice.
CREATE TABLE cutover.lanes (
    migration text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (migration, flow, lane)
);
CREATE TABLE cutover.intents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    write text COLLATE "C" NOT NULL,
    lane text COLLATE "C" NOT NULL,
    key text NOT NULL,
    side text NOT NULL CHECK (side IN ('old', 'new')),
    arguments text NOT NULL,
    sequence bigint NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL,
    due timestamptz NOT NULL, -- the end of the lease, or of the pause
    holder text,
    UNIQUE (migration, flow, lane, sequence)
);
CREATE INDEX intents_due ON cutover.intents (migration, due);
CREATE TABLE cutover.acts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    migration text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    verb text NOT NULL,
    reason text NOT NULL,
    ids bigint[] NOT NULL
);

-- name: places
SELECT to_regclass('cutover.layout') IS NOT NULL AS ours,
    EXISTS (SELECT FROM pg_namespace WHERE nspname = %(name)s) AS present,
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(name)s) AS filled,
    (SELECT bool_and(to_regclass('cutover.' || t) IS NOT NULL)
        FROM unnest(ARRAY['layout', 'writes', 'lanes', 'intents', 'acts']) AS t) AS whole;

-- name: layout
SELECT cutover_mirror, id FROM cutover.layout;

-- name: register
INSERT INTO cutover.writes (migration, flow, name, allowed_backlog, confirms, seen)
VALUES (%(migration)s, %(flow)s, %(name)s, %(allowed_backlog)s, %(confirms)s, clock_timestamp())
ON CONFLICT (migration, flow, name) DO UPDATE
    SET allowed_backlog = excluded.allowed_backlog, confirms = excluded.confirms, seen = excluded.seen;

-- name: record
-- The row of the lane stays locked until the commit: the sequences of a lane become visible in their order. The
-- statement's snapshot is older than that lock, so that an earlier write may be unseen: `behind` is asked afterwards.
WITH counted AS (
    INSERT INTO cutover.lanes AS l (migration, flow, lane, last) SELECT %(migration)s, %(flow)s, %(lane)s, 1
    WHERE %(outbox)s::text IS NULL OR EXISTS (SELECT FROM cutover.layout WHERE id = %(outbox)s AND cutover_mirror = 1)
    ON CONFLICT (migration, flow, lane) DO UPDATE SET last = l.last + 1
    RETURNING last
)
INSERT INTO cutover.intents
    (migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error, at, due, holder)
SELECT %(migration)s, %(flow)s, %(write)s, %(lane)s, %(key)s, %(side)s, %(arguments)s, last, %(state)s, 0, '',
    clock_timestamp(), clock_timestamp() + %(lease)s * interval '1 second', %(holder)s
FROM counted
RETURNING id, sequence;

-- name: behind
SELECT EXISTS (
    SELECT FROM cutover.intents
    WHERE migration = %(migration)s AND flow = %(flow)s AND lane = %(lane)s AND sequence < %(sequence)s
);

-- name: done
DELETE FROM cutover.intents WHERE id = %(id)s;

-- name: put_back
UPDATE cutover.intents SET state = %(state)s, attempts = %(attempts)s, error = %(error)s, holder = NULL,
    due = clock_timestamp() + %(pause)s * interval '1 second'
WHERE id = %(id)s AND (%(holder)s::text IS NULL OR holder = %(holder)s)
RETURNING id;

-- name: anew
INSERT INTO cutover.intents
    (migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error, at, due, holder)
VALUES (%(migration)s, %(flow)s, %(write)s, %(lane)s, %(key)s, %(side)s, %(arguments)s, %(sequence)s, %(state)s,
    %(attempts)s, %(error)s, clock_timestamp() - %(age)s * interval '1 second',
    clock_timestamp() + %(pause)s * interval '1 second', NULL)
ON CONFLICT (migration, flow, lane, sequence) DO NOTHING;

-- name: take
-- What another process takes at the same moment is passed over. A row that it has just taken is locked in its new
-- form, which the conditions are checked against once more.
WITH free AS (
    SELECT id FROM cutover.intents AS i
    WHERE migration = %(migration)s AND due <= clock_timestamp() AND state IN ('calling', 'unknown', 'pending')
        AND flow || ' ' || write = ANY (%(writes)s::text[])
        AND NOT EXISTS (
            SELECT FROM cutover.intents AS e WHERE e.migration = i.migration AND e.flow = i.flow
                AND e.lane = i.lane AND e.sequence < i.sequence
        )
    ORDER BY due, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE cutover.intents AS i
SET holder = %(holder)s, due = clock_timestamp() + %(lease)s * interval '1 second',
    state = CASE state WHEN 'calling' THEN 'unknown' ELSE state END
FROM free WHERE i.id = free.id
RETURNING i.id, migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error,
    extract(epoch FROM clock_timestamp() - at)::float8;

-- name: renew
UPDATE cutover.intents SET due = clock_timestamp() + %(lease)s * interval '1 second'
WHERE id = ANY (%(ids)s::bigint[]) AND holder = %(holder)s;

-- name: shortfalls
SELECT n.flow, n.name, coalesce(max(w.allowed_backlog), 0), coalesce(bool_or(w.confirms), false), count(i.id),
    count(i.id) FILTER (WHERE i.state IN ('unconfirmed', 'undelivered')),
    coalesce(extract(epoch FROM clock_timestamp() - min(i.at)), 0)::float8,
    count(i.id) FILTER (WHERE i.side = 'new'), count(i.id) FILTER (WHERE i.side = 'old'),
    count(DISTINCT i.lane) FILTER (WHERE i.state IN ('unconfirmed', 'undelivered')),
    extract(epoch FROM clock_timestamp() - max(w.seen))::float8,
    count(i.id) FILTER (WHERE i.state <> 'calling' AND i.holder IS NOT NULL AND i.due > clock_timestamp())
FROM (
    SELECT flow, name FROM cutover.writes WHERE migration = %(migration)s
    UNION SELECT flow, write FROM cutover.intents WHERE migration = %(migration)s
) AS n
LEFT JOIN cutover.writes AS w ON w.migration = %(migration)s AND w.flow = n.flow AND w.name = n.name
LEFT JOIN cutover.intents AS i ON i.migration = %(migration)s AND i.flow = n.flow AND i.write = n.name
    AND (i.state <> 'calling' OR i.due <= clock_timestamp())
GROUP BY n.flow, n.name ORDER BY n.flow, n.name;

-- name: dead
SELECT id, migration, flow, write, lane, key, side, arguments, sequence, state, attempts, error,
    extract(epoch FROM clock_timestamp() - at)::float8
FROM cutover.intents
WHERE migration = %(migration)s AND state IN ('unconfirmed', 'undelivered') ORDER BY id LIMIT %(limit)s;

-- name: revive
UPDATE cutover.intents AS i SET state = g.state, attempts = 0, due = clock_timestamp(), holder = NULL
FROM unnest(%(ids)s::bigint[], %(states)s::text[]) AS g (id, state)
WHERE i.migration = %(migration)s AND i.id = g.id AND i.state IN ('unconfirmed', 'undelivered')
RETURNING i.id;

-- name: drop
DELETE FROM cutover.intents
WHERE migration = %(migration)s AND id = ANY (%(ids)s::bigint[]) AND state IN ('unconfirmed', 'undelivered')
RETURNING id;

-- name: act
INSERT INTO cutover.acts (migration, at, actor, verb, reason, ids)
VALUES (%(migration)s, %(at)s, %(actor)s, %(verb)s, %(reason)s, %(ids)s::bigint[]);

-- name: acts
SELECT at, actor, verb, reason, ids FROM cutover.acts
WHERE migration = %(migration)s ORDER BY id DESC LIMIT %(limit)s;
