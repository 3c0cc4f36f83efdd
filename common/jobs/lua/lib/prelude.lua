-- Stands before every script of the job store, and reads its two arguments: ARGV[1] is
-- the configuration and ARGV[2] the call's own arguments, both JSON. The headers call the
-- latter `arg`, and mark with ? what may be missing.
--
-- Values that no script looks into (specs, sources, errors) come as JSON text and are
-- stored as they came: cjson changes what it decodes and encodes (1.0, empty lists, large
-- integers). All times are Unix milliseconds by the server's clock.
--
-- Every key is listed in common/redis/KEYSPACE.md. The keys of tasks are called piece:ID,
-- and a delivery's role is "notice", as when the first jobs were stored.
local cfg = cjson.decode(ARGV[1])
local arg = cjson.decode(ARGV[2])
local P = cfg.prefix
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- In microseconds: two scripts never share one.
local instant = tonumber(time[1]) * 1000000 + tonumber(time[2])
local messages = {}

local ENDED_JOB = {completed = true, partial = true, failed = true, cancelled = true}
local ENDED = {succeeded = true, failed = true, cancelled = true}
-- Roles of tasks that are not part of a job's work: deliveries and batches.
local OUTSIDE_JOBS = {notice = true, batch = true}

local function text(value)
  if type(value) ~= 'number' then return value end
  if value == math.floor(value) then return string.format('%.0f', value) end
  return string.format('%.3f', value)
end

local function words(line) return string.gmatch(line or '', '%S+') end

-- Joins two lists that are kept as JSON text.
local function splice(old, new)
  if not new or new == '[]' then return old end
  if not old or old == '' or old == '[]' then return new end
  return string.sub(old, 1, -2) .. ',' .. string.sub(new, 2)
end

-- Counts for the last hour: a hash for each minute, which expires with it.
local MINUTE_MS, HOUR_MINUTES = 60000, 60

local function minute_key(minute) return P .. 'minute:' .. text(minute) end

local function count_in_minute(name)
  local minute = math.floor(now / MINUTE_MS)
  local key = minute_key(minute)
  -- Only a name's first count in a minute sets the expiry: few calls pay for it.
  if redis.call('HINCRBY', key, name, '1') == 1 then
    redis.call('PEXPIREAT', key, text((minute + HOUR_MINUTES + 1) * MINUTE_MS))
  end
end

-- Counts for good, and for the last hour.
local function increment(name)
  redis.call('HINCRBY', P .. 'stats', name, '1')
  count_in_minute(name)
end

-- Runs a call once: a client that timed out and sends it again gets the first answer.
local function replay_safe(body)
  local key = P .. 'call:' .. arg.call
  local kept = redis.call('GET', key)
  if kept then return kept end
  local answer = cjson.encode(body())
  redis.call('SET', key, answer, 'PX', text(cfg.call_ms))
  return answer
end

local function read(kind, id)
  local key = P .. kind .. ':' .. id
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return {id = id, key = key, f = fields}
end

local function read_job(id) return read('job', id) end
local function read_task(id) return read('piece', id) end

local function set(record, fields)
  local flat = {}
  for name, value in pairs(fields) do
    value = text(value)
    record.f[name] = value
    flat[#flat + 1] = name
    flat[#flat + 1] = value
  end
  redis.call('HSET', record.key, unpack(flat))
end

-- The job has this blob as its source, so the reserved blob is not deleted.
local function take_source(job, key)
  if not key then return end
  set(job, {source_key = key})
  redis.call('SADD', P .. 'users:' .. key, job.id)
  redis.call('ZREM', P .. 'chores', 'blob:' .. key)
end

local function number(record, name) return tonumber(record.f[name] or '0') or 0 end

-- The manifest in the storage is not what the record says now (manifests.lua).
local function mark(job)
  redis.call('ZADD', P .. 'manifests', text(instant), 'job:' .. job.id)
end

local function mark_batch(id)
  redis.call('ZADD', P .. 'manifests', text(instant), 'batch:' .. id)
end

local function touch(job)
  job.f.version = text(redis.call('HINCRBY', job.key, 'version', 1))
  set(job, {updated = now})
end

local function index(command, job, status)
  local extra = command == 'ZADD' and {'0', job.f.order} or {job.f.order}
  redis.call(command, P .. 'jobs:' .. status, unpack(extra))
  redis.call(command, P .. 'jobs:' .. status .. ':' .. job.f.owner, unpack(extra))
  if job.f.batch then
    redis.call(command, P .. 'batch-jobs:' .. status .. ':' .. job.f.batch, unpack(extra))
  end
end

-- The names by which the jobs of an owner are searched, by id.
local function names_of(job) return P .. 'names:' .. job.f.owner end

local function announce(task)
  messages[#messages + 1] = {task = task.id, kind = task.f.kind, queue = task.f.queue}
end

-- The line of an owner in a queue: his tasks that may run now. Owners take turns.
local function line_of(task) return P .. 'queued:' .. task.f.queue .. ':' .. task.f.owner end

local joined = 0

local function join_line(task)
  joined = joined + 1
  redis.call('ZADD', line_of(task), text(instant + joined), task.id)
  redis.call('ZADD', P .. 'turns:' .. task.f.queue, 'NX', text(instant), task.f.owner)
end

local function unlist(task)
  redis.call('ZREM', P .. 'leased', task.id)
  redis.call('ZREM', P .. 'delayed', task.id)
  redis.call('ZREM', P .. 'pending:' .. task.f.queue, task.id)
  redis.call('ZREM', P .. 'queued:' .. task.f.queue, task.id)
  redis.call('ZREM', line_of(task), task.id)
end

-- Puts a task into its queue. A delayed task gets its message from the reaper. A waiting
-- task is in no list yet.
local function enqueue(task, delay)
  if task.f.state ~= 'waiting' then unlist(task) end
  local due = now + delay
  set(task, {
    state = 'queued', token = '', worker = '', cancel = 0, rings = 0,
    not_before = delay > 0 and due or 0, updated = now,
  })
  redis.call('ZADD', P .. 'queued:' .. task.f.queue, text(due), task.id)
  if delay > 0 then
    redis.call('ZADD', P .. 'delayed', text(due), task.id)
  else
    local again = text(now + cfg.grace_ms)
    redis.call('ZADD', P .. 'pending:' .. task.f.queue, again, task.id)
    join_line(task)
    announce(task)
  end
end

-- Queues a deferred task: what it waits for is there.
local function wake(task)
  if not task or task.f.state ~= 'queued' or task.f.waits ~= '1' then return end
  set(task, {waits = 0})
  enqueue(task, 0)
end

local function make_task(id, fields)
  local task = {id = id, key = P .. 'piece:' .. id, f = {}}
  local all = {
    state = 'waiting', attempt = 0, lost = 0, deaths = 0, refunds = 0, fence = 0,
    token = '', worker = '', cancel = 0, rings = 0, progress = 0, nparts = 0,
    created = now, updated = now,
  }
  for name, value in pairs(fields) do all[name] = value end
  redis.call('DEL', task.key)
  set(task, all)
  return task
end

local function output_id(job, name) return job.id .. ':o:' .. name end
local function part_id(output, k) return output.id .. ':' .. text(k) end

local function wants(subscription, kind)
  local events = subscription.events
  if not events or #events == 0 then return true end
  for _, pattern in ipairs(events) do
    if pattern == '*' or pattern == kind then return true end
    if string.sub(pattern, -2) == '.*'
      and string.sub(pattern, 1, -2) == string.sub(kind, 1, #pattern - 1) then
      return true
    end
  end
  return false
end

local function notify(job, subscription, id, kind, output, data)
  local n = redis.call('HINCRBY', job.key, 'notices', 1)
  local name = job.id .. ':n:' .. text(n)
  local order = string.format('%013.0f', now) .. name
  local delivery = make_task(name, {
    role = 'notice', kind = 'notice', queue = 'fast', job = job.id,
    owner = job.f.owner, order = order, source = job.f.source,
    options = job.f.options, subscription = subscription.raw, attempts = '[]',
    event_id = id, event_type = kind, event_at = now, event_output = output or '',
    event_data = data or '{}',
  })
  redis.call('ZADD', P .. 'notices', '0', order)
  redis.call('ZADD', P .. 'notices:' .. job.f.owner, '0', order)
  enqueue(delivery, 0)
end

-- Adds a line to the history, and a delivery for each subscriber that wants it.
local function event(job, kind, output, data)
  local key = P .. 'events:' .. job.id
  local id = redis.call(
    'XADD', key, 'MAXLEN', text(cfg.max_events), '*', 'type', kind,
    'at', text(now), 'output', output or '', 'data', data or '{}'
  )
  if type(id) == 'table' then id = id.ok or id[1] end
  touch(job)
  for _, subscription in ipairs(cjson.decode(job.f.subscriptions)) do
    if wants(subscription, kind) then
      notify(job, subscription, id, kind, output, data)
    end
  end
end

-- Answers every task of a job except its deliveries.
local function tasks_of(job)
  local found = {}
  local prepare = read_task(job.id .. ':prepare')
  if prepare then found[1] = prepare end
  for name in words(job.f.outputs) do
    local output = read_task(output_id(job, name))
    if output then
      found[#found + 1] = output
      for k = 0, number(output, 'nparts') - 1 do
        local part = read_task(part_id(output, k))
        if part then found[#found + 1] = part end
      end
    end
  end
  return found
end

-- Answers a job as get, list and delete return it; nil if part of it has expired.
local function dump(job)
  local outputs = {}
  for name in words(job.f.outputs) do
    local output = read_task(output_id(job, name))
    if not output then return nil end
    local n = number(output, 'nparts')
    if n > 0 then
      local sum = 0
      for k = 0, n - 1 do
        local share = redis.call('HGET', P .. 'piece:' .. part_id(output, k), 'progress')
        sum = sum + (tonumber(share or '0') or 0)
      end
      output.f.parts_progress = text(sum / n)
    end
    outputs[#outputs + 1] = output.f
  end
  return {id = job.id, job = job.f, outputs = outputs}
end
