-- Keeps the list of what the janitor has to clean, by due time.
-- arg: op, and due: limit; done and defer: member; reserve: key, ms.
-- due answers {due}. done strikes a member off, with the index lines of what it cleaned.
--   defer makes it due later. reserve has a blob deleted after ms milliseconds unless a
--   job with that source is accepted before.
local chores = P .. 'chores'

local function drop_source(member)
  local id, key = string.match(member, '^source:([^:]+):(.*)$')
  redis.call('SREM', P .. 'users:' .. key, id)
  local job = read_job(id)
  if job then
    set(job, {source_kept = 0})
    touch(job)
    mark(job)
  end
  if redis.call('SCARD', P .. 'users:' .. key) == 0 then
    redis.call('ZADD', chores, text(now), 'blob:' .. key)
  end
end

local function drop_record(member)
  local status, order, batch, owner =
    string.match(member, '^record:(%a+):([^:/]+)/?([^:]*):(.*)$')
  local job = {id = string.sub(order, 14), f = {order = order, owner = owner}}
  if batch ~= '' then job.f.batch = batch end
  index('ZREM', job, 'any')
  index('ZREM', job, status)
  redis.call('HDEL', names_of(job), job.id)
  mark(job)
  if batch ~= '' then mark_batch(batch) end
  -- The record and its tasks have expired by the TTL that was set when the job ended.
end

local function drop_delivery(member)
  local order, owner = string.match(member, '^notice:(.-:n:%d+):(.*)$')
  redis.call('ZREM', P .. 'notices', order)
  redis.call('ZREM', P .. 'notices:' .. owner, order)
end

-- The record has expired by its TTL; its children have cleanups of their own.
local function drop_batch(member)
  local order, owner = string.match(member, '^batch:([^:]+):(.*)$')
  mark_batch(string.sub(order, 14))
  redis.call('ZREM', P .. 'batches', order)
  redis.call('ZREM', P .. 'batches:' .. owner, order)
end

if arg.op == 'due' then
  return cjson.encode({
    due = redis.call(
      'ZRANGEBYSCORE', chores, '-inf', text(now), 'LIMIT', '0', text(arg.limit)
    ),
  })
elseif arg.op == 'reserve' then
  if redis.call('EXISTS', P .. 'users:' .. arg.key) == 0 then
    redis.call('ZADD', chores, text(now + arg.ms), 'blob:' .. arg.key)
  end
elseif arg.op == 'defer' then
  redis.call('ZADD', chores, 'XX', text(now + cfg.defer_ms), arg.member)
elseif redis.call('ZREM', chores, arg.member) == 1 then
  local kind = string.match(arg.member, '^%a+')
  if kind == 'source' then drop_source(arg.member) end
  if kind == 'record' then drop_record(arg.member) end
  if kind == 'notice' then drop_delivery(arg.member) end
  if kind == 'batch' then drop_batch(arg.member) end
end
return '{}'
