-- name: read
-- KEYS: state, migrations, hashes. ARGV: name, then the epoch, version and hash that the reader runs, if any.
local at = redis.call('HMGET', KEYS[1], 'layout', 'epoch', 'version', 'hash', 'secret')
if not at[1] then
    if redis.call('EXISTS', KEYS[1]) == 1 then
        return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' was not written by this library')
    end
    if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then
        return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is missing: it was evicted or deleted')
    end
    return false
end
if at[1] ~= '1' then
    return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is of layout ' .. at[1] .. ', this library reads 1')
end
local document, ancestor = false, false
if at[2] ~= ARGV[2] or at[3] ~= ARGV[3] or at[4] ~= ARGV[4] then
    document = redis.call('HGET', KEYS[1], 'snapshot')
    if not document then
        return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is damaged: its snapshot is missing')
    end
end
if ARGV[3] then
    ancestor = redis.call('HGET', KEYS[3], ARGV[3])
end
return {at[2], at[3], at[4], at[5], document, ancestor}

-- name: append
-- KEYS: state, migrations, hashes, changes. ARGV: name, channel, the expected head or '', the new head's epoch, version
-- and hash, change, snapshot, secret.
-- Everything is looked at before anything is written: a script that fails half way is not undone.
local at = redis.call('HMGET', KEYS[1], 'layout', 'epoch', 'version', 'hash')
local known = redis.call('SISMEMBER', KEYS[2], ARGV[1])
local hashes, changes = redis.call('HLEN', KEYS[3]), redis.call('LLEN', KEYS[4])
local actual, version = '', 0
if at[1] then
    if at[1] ~= '1' then
        return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is of layout ' .. at[1] .. ', this library writes 1')
    end
    actual, version = at[2] .. ' ' .. at[3] .. ' ' .. at[4], tonumber(at[3])
elseif known == 1 or redis.call('EXISTS', KEYS[1]) == 1 then
    return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is missing or was not written by this library')
end
if hashes ~= version or changes ~= version then
    return redis.error_reply('CUTOVER the ledger of ' .. ARGV[1] .. ' is damaged: it does not end at ' .. version)
end
if actual ~= ARGV[3] then
    return 'at ' .. actual
end
redis.call('HSET', KEYS[1], 'layout', '1', 'epoch', ARGV[4], 'version', ARGV[5], 'hash', ARGV[6], 'snapshot', ARGV[8])
if version == 0 then
    redis.call('HSET', KEYS[1], 'secret', ARGV[9])
    redis.call('SADD', KEYS[2], ARGV[1])
end
redis.call('HSET', KEYS[3], ARGV[5], ARGV[6])
redis.call('RPUSH', KEYS[4], ARGV[7])
redis.call('PUBLISH', ARGV[2], ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
return 'written'

-- name: history
-- KEYS: state, migrations, changes. ARGV: name, the version to begin after.
local version = redis.call('HGET', KEYS[1], 'version') or '0'
local lost = version == '0' and redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1
if lost or redis.call('LLEN', KEYS[3]) ~= tonumber(version) then
    return redis.error_reply('CUTOVER the ledger of ' .. ARGV[1] .. ' is damaged: it does not end at the head')
end
return redis.call('LRANGE', KEYS[3], ARGV[2], -1)

-- name: check_in
-- KEYS: instances, closed, minutes, due, hours. ARGV: instance, sequence, closing (0 or 1), received, report, the
-- oldest minute that is taken, the oldest that is not folded, the time before which closed ones are forgotten, how many
-- minutes to fold at once; then minute and totals in turn.
-- An instance is kept as "sequence closing received folded" and its report, a minute as "sequence" and its totals.
-- Returns 1 where there are more minutes to fold.
local instance, sequence, taken = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[6])

local function known(name)
    local row = redis.call('HGET', KEYS[1], name)
    if not row then
        return nil
    end
    local held, closing, received, folded, report = string.match(row, '^(%d+) (%d) (%d+) (-?%d+)\n(.*)$')
    return {sequence = held, closing = closing, received = received, folded = folded, report = report}
end

local function keep(name, row)
    local head = table.concat({row.sequence, row.closing, row.received, row.folded}, ' ')
    redis.call('HSET', KEYS[1], name, head .. '\n' .. row.report)
end

local function add(total, more)
    for name, value in pairs(more) do
        if type(value) == 'table' then
            total[name] = add(total[name] or {}, value)
        else
            total[name] = (total[name] or 0) + value
        end
    end
    return total
end

-- cjson writes numbers with 14 digits only
local function encode(value)
    if type(value) ~= 'table' then
        return string.format('%.0f', value)
    end
    local names, parts = {}, {}
    for name in pairs(value) do
        names[#names + 1] = name
    end
    table.sort(names)
    for index, name in ipairs(names) do
        parts[index] = cjson.encode(name) .. ':' .. encode(value[name])
    end
    return '{' .. table.concat(parts, ',') .. '}'
end

local row = known(instance)
if not row or sequence > tonumber(row.sequence) then
    local folded = row and row.folded or '-1'
    row = {sequence = ARGV[2], closing = ARGV[3], received = ARGV[4], folded = folded, report = ARGV[5]}
    keep(instance, row)
    if ARGV[3] == '1' then
        redis.call('ZADD', KEYS[2], ARGV[4], instance)
    else
        redis.call('ZREM', KEYS[2], instance)
    end
end

for index = 10, #ARGV, 2 do
    local minute = tonumber(ARGV[index])
    if minute >= taken and minute > tonumber(row.folded) then
        local field = ARGV[index] .. ' ' .. instance
        local held = redis.call('HGET', KEYS[3], field)
        if not held or sequence > tonumber(string.match(held, '^%d+')) then
            redis.call('HSET', KEYS[3], field, ARGV[2] .. ' ' .. ARGV[index + 1])
            redis.call('ZADD', KEYS[4], ARGV[index], field)
        end
    end
end

local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '(' .. ARGV[7], 'LIMIT', 0, ARGV[9])
local sums = {}
for _, field in ipairs(due) do
    local minute, owner = string.match(field, '^(%d+) (.*)$')
    local held = redis.call('HGET', KEYS[3], field)
    if held then
        local hour = string.format('%.0f', math.floor(tonumber(minute) / 60))
        sums[hour] = sums[hour] or cjson.decode(redis.call('HGET', KEYS[5], hour) or '{}')
        add(sums[hour], cjson.decode(string.match(held, ' (.*)$')))
    end
    local of = known(owner)
    if of and tonumber(minute) > tonumber(of.folded) then
        of.folded = minute
        keep(owner, of)
    end
end
for hour, total in pairs(sums) do
    redis.call('HSET', KEYS[5], hour, encode(total))
end
for _, field in ipairs(due) do
    redis.call('HDEL', KEYS[3], field)
    redis.call('ZREM', KEYS[4], field)
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[8])) do
    redis.call('HDEL', KEYS[1], name)
    redis.call('ZREM', KEYS[2], name)
end
return #due == tonumber(ARGV[9]) and 1 or 0

-- name: fleet
-- KEYS: instances, minutes, hours.
return {redis.call('HVALS', KEYS[1]), redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
