"""The steps of remote.py as Lua, each one atomic in the server.

A counter is a whole number at PREFIX NAME:WINDOW:NUMBER. A lease is a hash of what was taken, and a member of the
sorted set PREFIX leases by the time when it runs out. A lease that was settled is remembered for an hour, so that
settling it again changes nothing.
"""

from __future__ import annotations

TAKE = """
local prefix, lease, seconds, now = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', now, 'LIMIT', 0, 100)) do
  local held = redis.call('HGETALL', prefix .. 'lease:' .. id)
  for i = 1, #held, 2 do
    if redis.call('EXISTS', held[i]) == 1 then redis.call('DECRBY', held[i], held[i + 1]) end
  end
  redis.call('DEL', prefix .. 'lease:' .. id)
  redis.call('ZREM', prefix .. 'leases', id)
end

local function month_of(day)  -- days since the epoch to year * 12 + month - 1 (H. Hinnant, civil_from_days)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  return (yoe + era * 400 + (month <= 2 and 1 or 0)) * 12 + month - 1
end

local function month_start(number)  -- and back, in seconds
  local y, m = math.floor(number / 12), number % 12 + 1
  if m <= 2 then y = y - 1 end
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (m > 2 and m - 3 or m + 9) + 2) / 5)
  local doe = yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy
  return (era * 146097 + doe - 719468) * 86400
end

local function span(window)
  if window == 'minute' then
    local number = math.floor(now / 60)
    return number, (number + 1) * 60
  end
  local day = math.floor(now / 86400)
  if window == 'day' then return day, (day + 1) * 86400 end
  if window == 'month' then
    local number = month_of(day)
    return number, month_start(number + 1)
  end
  return 0, 0
end

local keys, ends, used, amounts = {}, {}, {}, {}
local refused = -1
for i = 5, #ARGV, 4 do
  local at = #keys + 1
  local number, stop = span(ARGV[i + 1])
  keys[at] = prefix .. ARGV[i] .. ':' .. ARGV[i + 1] .. ':' .. string.format('%d', number)
  ends[at] = string.format('%d', stop)
  amounts[at] = tonumber(ARGV[i + 2])
  used[at] = tonumber(redis.call('GET', keys[at]) or '0')
  if refused < 0 and used[at] + amounts[at] > tonumber(ARGV[i + 3]) then refused = at - 1 end
end
if refused < 0 then
  for at, key in ipairs(keys) do
    used[at] = redis.call('INCRBY', key, string.format('%d', amounts[at]))
    local stop = tonumber(ends[at])
    redis.call('EXPIRE', key, math.ceil((stop > 0 and stop - now or seconds) + 3600))
    redis.call('HSET', prefix .. 'lease:' .. lease, key, string.format('%d', amounts[at]))
  end
  redis.call('EXPIRE', prefix .. 'lease:' .. lease, math.ceil(seconds * 2 + 3600))
  redis.call('ZADD', prefix .. 'leases', now + seconds, lease)
end
for at, value in ipairs(used) do used[at] = string.format('%d', value) end
return {tostring(refused), ends, used, keys}
"""

GIVE = """
local prefix, lease = ARGV[1], ARGV[2]
if redis.call('SET', prefix .. 'given:' .. lease, '1', 'NX', 'EX', 3600) == false then return 0 end
local held, had = redis.call('HGETALL', prefix .. 'lease:' .. lease), {}
for i = 1, #held, 2 do had[held[i]] = tonumber(held[i + 1]) end
for i = 3, #ARGV, 2 do
  local change = tonumber(ARGV[i + 1]) - (had[ARGV[i]] or 0)
  if change ~= 0 and (change > 0 or redis.call('EXISTS', ARGV[i]) == 1) then
    redis.call('INCRBY', ARGV[i], string.format('%d', change))
    if redis.call('TTL', ARGV[i]) == -1 then redis.call('EXPIRE', ARGV[i], 3600) end
  end
end
redis.call('DEL', prefix .. 'lease:' .. lease)
redis.call('ZREM', prefix .. 'leases', lease)
return 1
"""

RAISE = """
local key, value = ARGV[1] .. ARGV[2], tonumber(ARGV[3])
if tonumber(redis.call('GET', key) or '0') < value then
  redis.call('SET', key, ARGV[3], 'KEEPTTL')
  if redis.call('TTL', key) == -1 then redis.call('EXPIRE', key, ARGV[4]) end
end
return 0
"""
