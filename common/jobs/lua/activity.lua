-- Reads what operators look at: the queues now, and the last hour by minutes. arg: none.
-- Answers {at, queues = {QUEUE = {ready, delayed, running, oldest?, since?}}, minutes}:
--   oldest is the ready task that has waited longest, since when it could run; minutes
--   are the counts of 60 minutes by their names, the last of which is not over.

local function running()
  local counts = {fast = 0, slow = 0}
  for _, id in ipairs(redis.call('ZRANGE', P .. 'leased', '0', '-1')) do
    local queue = redis.call('HGET', P .. 'piece:' .. id, 'queue')
    if queue then counts[queue] = counts[queue] + 1 end
  end
  return counts
end

local function state_of(queue, running_now)
  local key = P .. 'queued:' .. queue
  local ready = redis.call('ZCOUNT', key, '-inf', text(now))
  local state = {
    ready = ready, delayed = redis.call('ZCARD', key) - ready, running = running_now,
  }
  if ready > 0 then
    local first = redis.call('ZRANGE', key, '0', '0', 'WITHSCORES')
    state.oldest, state.since = first[1], tonumber(first[2])
  end
  return state
end

local function counts_of(minute)
  local counts = {}
  local flat = redis.call('HGETALL', minute_key(minute))
  for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
  return counts
end

local running_in = running()
local minutes = {}
local last = math.floor(now / MINUTE_MS)
for minute = last - HOUR_MINUTES + 1, last do
  minutes[#minutes + 1] = counts_of(minute)
end
return cjson.encode({
  at = now, minutes = minutes,
  queues = {
    fast = state_of('fast', running_in.fast), slow = state_of('slow', running_in.slow),
  },
})
