-- How tasks end, and what that makes of their output and job. A job's status is derived
-- here, in the same call as the change that caused it, and nowhere else.

local function set_status(job, status)
  local was = job.f.status
  index('ZREM', job, was)
  set(job, {status = status})
  index('ZADD', job, status)
  recount(job, was, status)
end

local function cleanups_of(job)
  local place = job.f.order .. (job.f.batch and '/' .. job.f.batch or '')
  local due = {
    ['record:' .. job.f.status .. ':' .. place .. ':' .. job.f.owner] = cfg.job_ms,
    ['litter:' .. job.id] = math.min(cfg.orphan_ms, cfg.job_ms),
  }
  if job.f.source_key then
    due['source:' .. job.id .. ':' .. job.f.source_key] =
      math.min(cfg.source_ms, cfg.job_ms)
  end
  return due
end

-- Wakes the tasks that wait to copy this job's results (duplicates.lua).
local function notify_duplicates(job, made)
  local digest = job.f.same
  local key = digest and P .. 'same:' .. digest
  if not key or redis.call('GET', key) ~= job.id then return end
  if made then
    redis.call('PEXPIREAT', key, job.f.expires)
  else
    redis.call('DEL', key)
  end
  local waiting = P .. 'same-wait:' .. digest
  for _, id in ipairs(redis.call('SMEMBERS', waiting)) do wake(read_task(id)) end
  redis.call('DEL', waiting)
end

-- Only ended jobs have a TTL: it is set here, and removed by reopen.
local function end_job(job, status, reason)
  local expires = now + cfg.job_ms
  set_status(job, status)
  set(job, {finished = now, expires = expires})
  if (job.f.error or '') == '' and reason then set(job, {error = reason}) end
  event(job, 'job.' .. status)
  redis.call('PEXPIREAT', job.key, text(expires))
  redis.call('PEXPIREAT', P .. 'events:' .. job.id, text(expires))
  for _, task in ipairs(tasks_of(job)) do
    redis.call('PEXPIREAT', task.key, text(expires))
  end
  for member, after in pairs(cleanups_of(job)) do
    redis.call('ZADD', P .. 'chores', text(now + after), member)
  end
  notify_duplicates(job, status == 'completed')
  update_parent(job)
  mark(job)
  increment(status)
end

-- Ends the job once all outputs have ended: completed if all succeeded, partial if some
-- did, failed if any failed, else cancelled. Answers whether this call ended it.
local function derive(job)
  if ENDED_JOB[job.f.status] then return false end
  local won, failed, all, reason = 0, 0, 0, nil
  for name in words(job.f.outputs) do
    local key = P .. 'piece:' .. output_id(job, name)
    local pair = redis.call('HMGET', key, 'state', 'error')
    all = all + 1
    if not ENDED[pair[1]] then return false end
    if pair[1] == 'succeeded' then won = won + 1 end
    if pair[1] == 'failed' then
      failed = failed + 1
      reason = reason or pair[2]
    end
  end
  if won == all then end_job(job, 'completed')
  elseif won > 0 then end_job(job, 'partial')
  elseif failed > 0 then end_job(job, 'failed', reason)
  else end_job(job, 'cancelled') end
  return true
end

local function settle(task, state)
  unlist(task)
  set(task, {state = state, token = '', finished = now, updated = now})
end

local function end_delivery(delivery, state, reason)
  settle(delivery, state)
  set(delivery, {error = reason or ''})
  redis.call('PEXPIREAT', delivery.key, text(now + cfg.delivery_ms))
  redis.call(
    'ZADD', P .. 'chores', text(now + cfg.delivery_ms),
    'notice:' .. delivery.f.order .. ':' .. delivery.f.owner
  )
end

-- Counts how long an output took from the job's acceptance, as a histogram: took:KIND:N is
-- how many took at most N seconds and more than the bound before, took:KIND:ms the sum. A
-- job that was run again, or restored, says nothing of that: a pause is in between.
local TOOK_SECONDS = {1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

local function count_seconds(job, output)
  if job.f.resumed then return end
  local took, bound = math.max(0, now - number(job, 'created')), 'inf'
  for _, seconds in ipairs(TOOK_SECONDS) do
    if took <= seconds * 1000 then
      bound = text(seconds)
      break
    end
  end
  local field = 'took:' .. output.f.output_kind .. ':'
  redis.call('HINCRBY', P .. 'stats', field .. bound, '1')
  redis.call('HINCRBY', P .. 'stats', field .. 'ms', text(took))
end

local function end_output(job, output, state, reason)
  settle(output, state)
  if state == 'succeeded' then count_seconds(job, output) end
  set(output, {error = reason or ''})
  for k = 0, number(output, 'nparts') - 1 do
    local part = read_task(part_id(output, k))
    if part and part.f.state == 'running' then
      set(part, {cancel = 1})
    elseif part and not ENDED[part.f.state] then
      settle(part, 'cancelled')
    end
  end
  local data = reason and '{"error":' .. reason .. '}' or nil
  event(job, 'output.' .. state, output.f.name, data)
end

local function end_outputs(job, state, reason)
  for name in words(job.f.outputs) do
    local output = read_task(output_id(job, name))
    if output and not ENDED[output.f.state] then
      end_output(job, output, state, reason)
    end
  end
end

local function parent_of(part) return read_task(part.f.parent) end

-- Answers the output that a task belongs to; prepare tasks and deliveries have none.
local function output_of(task)
  if task.f.role == 'output' then return task end
  if task.f.role == 'part' then return parent_of(task) end
  return nil
end

local function join_if_last(output)
  for k = 0, number(output, 'nparts') - 1 do
    local state = redis.call('HGET', P .. 'piece:' .. part_id(output, k), 'state')
    if state ~= 'succeeded' then return end
  end
  enqueue(output, 0)
end

-- Tolerates one part that used up its time or memory: the output goes on without it. A
-- second failure of that kind ends the output, since each more would hold a worker as long.
-- Answers whether it was tolerated.
local COSTLY = {timeout = true, resource_limit = true}

local function tolerate(part, reason)
  local output = part.f.role == 'part' and parent_of(part)
  local code = output and cjson.decode(reason).code
  if not output or not COSTLY[code] or output.f.borne == code then return false end
  set(output, {borne = code})
  settle(part, 'succeeded')
  set(part, {result = '[]', artifacts = '[]', progress = 100})
  if output.f.state == 'waiting' then join_if_last(output) end
  return true
end

-- A batch whose task fails keeps the children that it has.
local function end_batch_task(batch_task, state, reason)
  settle(batch_task, state)
  set(batch_task, {error = reason or ''})
  local batch = read_batch(batch_task.f.job)
  if not batch then return end
  if reason then set(batch, {error = reason}) end
  close(batch, true)
  touch(batch)
  derive_batch(batch)
end

-- Counts what failed for good by the code of its error: once, where it failed.
local function count_failure(reason)
  increment('code:' .. cjson.decode(reason).code)
end

local function end_task(job, task, state, reason)
  if state == 'failed' then count_failure(reason) end
  if task.f.role == 'notice' then
    end_delivery(task, state, reason)
  elseif task.f.role == 'batch' then
    end_batch_task(task, state, reason)
  elseif task.f.role == 'output' then
    end_output(job, task, state, reason)
  elseif task.f.role == 'part' then
    settle(task, state)
    set(task, {error = reason or ''})
    local output = parent_of(task)
    if output and output.f.state == 'waiting' then
      end_output(job, output, state, reason)
    end
  else
    settle(task, state)
    set(task, {error = reason or ''})
    if reason then set(job, {error = reason}) end
    end_outputs(job, state, reason)
  end
end

-- Answers whether the attempt that runs, or ran last, was the last that is allowed.
local function is_last_attempt(task)
  local most = task.f.role == 'notice' and cfg.max_delivery_attempts or cfg.max_attempts
  return number(task, 'attempt') >= most
end

-- Lists a task that ran out of attempts or workers; an operator may redrive it.
local function dead_letter(task, reason)
  local output = output_of(task)
  local info = {
    job = task.f.job, owner = task.f.owner, error = reason,
    output = output and output.f.name or '',
    attempts = number(task, 'attempt') + number(task, 'lost') + number(task, 'deaths'),
  }
  redis.call('ZADD', P .. 'dead', text(now), task.id)
  redis.call('HSET', P .. 'dead:info', task.id, cjson.encode(info))
  increment('dead')
end

local function report(task, reports)
  local holder = task.f.role == 'notice' and task or output_of(task)
  if holder then set(holder, {attempts = splice(holder.f.attempts, reports)}) end
end

local function requeue(job, task, why, delay)
  enqueue(task, delay)
  if task.f.role == 'output' or task.f.role == 'part' then
    local output = output_of(task)
    event(job, 'output.requeued', output.f.name, cjson.encode({reason = why}))
  elseif job then
    touch(job)
  end
end

-- Counts the loss of a worker: `what` is lost (its lease ran out) or deaths (its process
-- died). The attempt is given back, since attempts are meant for faults of the media.
-- Answers cancelled, failed or queued.
local function record_worker_loss(job, task, what, most)
  set(task, {
    [what] = number(task, what) + 1,
    attempt = math.max(0, number(task, 'attempt') - 1),
  })
  local reason = string.gsub(cfg.errors[what], '{times}', task.f[what])
  if task.f.cancel == '1' then
    end_task(job, task, 'cancelled')
    return 'cancelled'
  end
  local line = '[{"attempt":' .. text(number(task, 'attempt') + 1)
    .. ',"rung":"' .. what .. '","error":' .. reason .. ',"worker":'
    .. cjson.encode(task.f.worker) .. ',"at":' .. text(now) .. '}]'
  report(task, line)
  if number(task, what) >= most then
    dead_letter(task, reason)
    end_task(job, task, 'failed', reason)
    return 'failed'
  end
  requeue(job, task, what, 0)
  return 'queued'
end

-- A part of the service (its storage, a disk) is away for the workers of a host. They claim
-- no work for a while, longer each time in a row. The hash `away` holds for each host
-- {error, since, tries, until}.
local function host_of(worker) return string.match(worker, '^(.*):[^:]*$') or worker end

local function outage_of(host)
  local kept = redis.call('HGET', P .. 'away', host)
  return kept and cjson.decode(kept) or nil
end

local function is_over(entry) return now > entry['until'] + cfg.forget_ms end

-- A host that never returns (a container has a new name each time) reports no end.
local function forget_outages()
  local hosts = redis.call('HGETALL', P .. 'away')
  for i = 1, #hosts, 2 do
    if is_over(cjson.decode(hosts[i + 1])) then redis.call('HDEL', P .. 'away', hosts[i]) end
  end
end

local function record_outage(host, reason)
  local entry = outage_of(host)
  if not entry or is_over(entry) then
    forget_outages()
    entry = {since = now, tries = 0, ['until'] = 0}
    increment('away')
  end
  if now >= entry['until'] then
    local pause = math.min(cfg.pause_ms * 2 ^ entry.tries, cfg.max_pause_ms)
    entry.tries = entry.tries + 1
    entry['until'] = now + pause
  end
  entry.error = reason
  redis.call('HSET', P .. 'away', host, cjson.encode(entry))
  return entry
end

-- The task waits for that part until its deadline; this costs no attempt. The job shows it.
local function wait_for_service(job, task, entry)
  local since = number(task, 'away_since')
  local first = since == 0
  if first then since = now end
  local deadline = since + cfg.outage_ms
  if now >= deadline then
    dead_letter(task, entry.error)
    end_task(job, task, 'failed', entry.error)
    return
  end
  set(task, {away_since = since})
  if job and (job.f.waiting or '') == '' then set(job, {waiting_since = since}) end
  if job then set(job, {waiting = entry.error, waiting_until = deadline}) end
  local pause = math.min(math.max(entry['until'] - now, 1000), deadline - now)
  if first then return requeue(job, task, 'away', pause) end
  enqueue(task, pause)
  if job then touch(job) end
end

-- The task has got on, so what it needs of the service is there again.
local function clear_outage(job, task)
  redis.call('HDEL', P .. 'away', host_of(task.f.worker))
  if number(task, 'away_since') > 0 then set(task, {away_since = 0}) end
  if job and (job.f.waiting or '') ~= '' then set(job, {waiting = ''}) end
end

-- Answers the claimed task, or nil and the answer to a claim that no longer counts.
local function claimed_task()
  local task = read_task(arg.task)
  if task and task.f.state == 'running' and task.f.token == arg.token
    and number(task, 'fence') == arg.fence then
    return task
  end
  increment('refused')
  return nil, {applied = false, job_ended = false}
end

local function job_of(task)
  if OUTSIDE_JOBS[task.f.role] then return nil end
  return read_job(task.f.job)
end

local function outcome(applied, job)
  return {applied = applied, job_ended = job and derive(job) or false, messages = messages}
end

-- Adds what a task read of its source to its job's sums. arg.reading {access,
-- access_reason?, bytes_read, requests} is missing where it read nothing. That a task
-- fetched all of it outweighs what the others did.
local function add_reading(job)
  local reading = arg.reading
  if not job or not reading then return end
  if job.f.read_access ~= 'whole' then
    set(job, {read_access = reading.access, read_reason = reading.access_reason or ''})
  end
  set(job, {
    read_bytes = number(job, 'read_bytes') + reading.bytes_read,
    read_requests = number(job, 'read_requests') + reading.requests,
  })
end

-- Ends the claimed prepare and records what it found: arg.media, source, source_key,
-- reading?.
-- Answers its job, or nil and the answer for a claim that no longer counts or was
-- cancelled.
local function end_prepare()
  local task, stale = claimed_task()
  if not task then return nil, stale end
  local job = read_job(task.f.job)
  add_reading(job)
  if task.f.cancel == '1' then
    end_task(job, task, 'cancelled')
    return nil, outcome(false, job)
  end
  clear_outage(job, task)
  settle(task, 'succeeded')
  set(job, {media = arg.media, source = arg.source})
  take_source(job, arg.source_key)
  return job
end
