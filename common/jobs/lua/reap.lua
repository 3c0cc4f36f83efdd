-- Makes one pass of the reaper: requeues tasks whose lease ran out, announces retries whose
-- delay is over, and sends messages again that led to no claim.
-- arg: call, limit, backlog? {queue = messages in it}. Without backlog the broker is away:
--   nothing is sent, so that no back-off grows in vain.
-- Answers {expired, failed, republished, skipped, outage, messages}.
--
-- After a pause of the reaper or the store (outage) all leases are extended instead, since
-- no worker could send its heartbeat. The first pass ever extends them as well, but reports
-- no outage: on a new store, nothing was away.

local function expire(answer)
  local ids = redis.call(
    'ZRANGEBYSCORE', P .. 'leased', '-inf', text(now), 'LIMIT', '0', text(arg.limit)
  )
  for _, id in ipairs(ids) do
    local task = read_task(id)
    local job = task and job_of(task)
    if not task or (not job and not OUTSIDE_JOBS[task.f.role]) then
      redis.call('ZREM', P .. 'leased', id)
    else
      local now_is =
        record_worker_loss(job, task, 'lost', cfg.max_lost_leases)
      answer.expired = answer.expired + 1
      if now_is == 'failed' then answer.failed = answer.failed + 1 end
      if job then derive(job) end
      increment('expired')
    end
  end
end

local function extend()
  local all = redis.call('ZRANGE', P .. 'leased', '0', '-1', 'WITHSCORES')
  for i = 1, #all, 2 do
    local until_ = math.max(tonumber(all[i + 1]), now + cfg.lease_ms)
    redis.call('ZADD', P .. 'leased', text(until_), all[i])
  end
end

local function resend_later(task)
  local rings = redis.call('HINCRBY', task.key, 'rings', 1)
  local pause = math.min(cfg.resend_ms * 2 ^ (rings - 1), cfg.max_resend_ms)
  redis.call('ZADD', P .. 'pending:' .. task.f.queue, text(now + pause), task.id)
end

-- Retries whose delay is over: no message has been sent for them yet.
local function promote_delayed()
  local ids = redis.call(
    'ZRANGEBYSCORE', P .. 'delayed', '-inf', text(now), 'LIMIT', '0', text(arg.limit)
  )
  for _, id in ipairs(ids) do
    redis.call('ZREM', P .. 'delayed', id)
    local task = read_task(id)
    if task then
      resend_later(task)
      join_line(task)
      announce(task)
    end
  end
end

local function sent(queue)
  local n = 0
  for _, message in ipairs(messages) do if message.queue == queue then n = n + 1 end end
  return n
end

local function republish(queue, answer)
  local key = P .. 'pending:' .. queue
  local waiting = redis.call('ZCARD', key) - sent(queue)
  local room = math.max(0, waiting - (arg.backlog[queue] or 0))
  local due = redis.call('ZCOUNT', key, '-inf', text(now))
  local take = math.min(room, due, arg.limit)
  answer.skipped = answer.skipped + due - take
  if take == 0 then return end
  local ids = redis.call(
    'ZRANGEBYSCORE', key, '-inf', text(now), 'LIMIT', '0', text(take)
  )
  for _, id in ipairs(ids) do
    local task = read_task(id)
    if task then
      resend_later(task)
      announce(task)
      increment('republished')
      answer.republished = answer.republished + 1
    else
      redis.call('ZREM', key, id)
      redis.call('ZREM', P .. 'queued:' .. queue, id)
    end
  end
end

local function trim_dead()
  local ids = redis.call(
    'ZRANGEBYSCORE', P .. 'dead', '-inf', text(now - cfg.dead_ms), 'LIMIT', '0', '100'
  )
  for _, id in ipairs(ids) do
    redis.call('ZREM', P .. 'dead', id)
    redis.call('HDEL', P .. 'dead:info', id)
  end
end

return replay_safe(function()
  local answer = {expired = 0, failed = 0, republished = 0, skipped = 0}
  local last = tonumber(redis.call('GET', P .. 'reaper') or nil)
  redis.call('SET', P .. 'reaper', text(now))
  answer.outage = last ~= nil and now - last > 3 * cfg.sweep_ms
  if answer.outage then increment('outages') end
  if answer.outage or not last then extend() else expire(answer) end
  if arg.backlog then
    promote_delayed()
    republish('fast', answer)
    republish('slow', answer)
  end
  trim_dead()
  answer.messages = messages
  return answer
end)
