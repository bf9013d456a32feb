-- name: create
-- KEYS: places.
if not redis.call('HGET', KEYS[1], 'layout') then
    redis.call('HSET', KEYS[1], 'layout', '1')
end
return 'made'

-- name: migrations
-- KEYS: places.
local layout = redis.call('HGET', KEYS[1], 'layout')
if not layout then
    return false
end
if layout ~= '1' then
    return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is of layout ' .. layout .. ', this library reads 1')
end
return redis.call('HKEYS', KEYS[1])

-- name: find
-- KEYS: places, homes. ARGV: ids. A home is kept as "side at until", with until 0 for ever.
local layout = redis.call('HGET', KEYS[1], 'layout')
if not layout then
    return false
end
if layout ~= '1' then
    return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is of layout ' .. layout .. ', this library reads 1')
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local sides = {}
for index, id in ipairs(ARGV) do
    local row, side = redis.call('HGET', KEYS[2], id), ''
    if row then
        local held, ends = string.match(row, '^(%l+) %d+ (%d+)$')
        if not held then
            return redis.error_reply('CUTOVER ' .. KEYS[2] .. ' holds what is no home')
        end
        if ends == '0' or tonumber(ends) > now then
            side = held
        end
    end
    sides[index] = side
end
return sides

-- name: put
-- KEYS: places, homes, due. ARGV: what to do (claim or rehome), migration and kind, milliseconds to keep or 0; then id
-- and side in turn.
-- Gives the side that holds of each, for claim, or that held, for rehome.
-- All is looked at before anything is written: a script that fails half way is not undone. What was there already is
-- written again, so that WAITAOF waits for whoever wrote it.
local layout = redis.call('HGET', KEYS[1], 'layout')
if not layout then
    return false
end
if layout ~= '1' then
    return redis.error_reply('CUTOVER ' .. KEYS[1] .. ' is of layout ' .. layout .. ', this library writes 1')
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local keep, fresh = tonumber(ARGV[3]), '0'
if keep > 0 then
    fresh = string.format('%.0f', now + keep)
end
local stamp = string.format('%.0f', now)
local rows, sides = {}, {}
for index = 4, #ARGV, 2 do
    local row, side = redis.call('HGET', KEYS[2], ARGV[index]), ''
    local put = {ARGV[index + 1], stamp, fresh}
    if row then
        local held, at, ends = string.match(row, '^(%l+) (%d+) (%d+)$')
        if not held then
            return redis.error_reply('CUTOVER ' .. KEYS[2] .. ' holds what is no home')
        end
        if ends == '0' or tonumber(ends) > now then
            side = held
            if ARGV[1] == 'claim' or held == ARGV[index + 1] then
                put = {held, at, ends}
            else
                put[3] = ends
            end
        end
    end
    if ARGV[1] == 'claim' then
        side = put[1]
    end
    rows[#rows + 1], sides[#sides + 1] = put, side
end
redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '-inf')
if not redis.call('HGET', KEYS[1], ARGV[2]) then
    redis.call('HSET', KEYS[1], ARGV[2], '1')
end
for index, put in ipairs(rows) do
    local id = ARGV[2 * index + 2]
    redis.call('HSET', KEYS[2], id, table.concat(put, ' '))
    if put[3] == '0' then
        redis.call('ZREM', KEYS[3], id)
    else
        redis.call('ZADD', KEYS[3], put[3], id)
    end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', stamp, 'LIMIT', 0, 20)) do
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
end
return sides
