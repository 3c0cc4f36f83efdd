-- Counts jobs, tasks and workers for the metrics. arg: statuses (the jobs' statuses).
local function oldest(queue)
  local first =
    redis.call('ZRANGE', P .. 'queued:' .. queue, '0', '0', 'WITHSCORES')
  return first[2] and math.max(0, now - tonumber(first[2])) or 0
end

local counters = {}
local flat = redis.call('HGETALL', P .. 'stats')
for i = 1, #flat, 2 do counters[flat[i]] = tonumber(flat[i + 1]) end
local jobs = {}
for _, status in ipairs(arg.statuses) do
  jobs[status] = redis.call('ZCARD', P .. 'jobs:' .. status)
end
local missed = {}
flat = redis.call('HGETALL', P .. 'away')
for i = 1, #flat, 2 do
  local entry = cjson.decode(flat[i + 1])
  if not is_over(entry) then
    missed[#missed + 1] = {host = flat[i], since = entry.since, error = entry.error}
  end
end
local last = tonumber(redis.call('GET', P .. 'reaper') or nil)
return cjson.encode({
  pending = {
    fast = redis.call('ZCARD', P .. 'queued:fast'),
    slow = redis.call('ZCARD', P .. 'queued:slow'),
  },
  oldest = {fast = oldest('fast'), slow = oldest('slow')},
  leased = redis.call('ZCARD', P .. 'leased'),
  dead = redis.call('ZCARD', P .. 'dead'),
  workers = redis.call('ZCOUNT', P .. 'workers', text(now - cfg.alive_ms), '+inf'),
  away = missed, jobs = jobs, counters = counters, reaper_ms = last and now - last or nil,
})
