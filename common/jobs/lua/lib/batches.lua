-- Batches: a batch counts its jobs (its children). A count changes in the same call as the
-- status of the child that it counts, so a batch's status is always derived from true
-- counts.
--
-- Fields of batch:ID: n:STATUS (children of that status), n:deleted, want (the stage of its
-- task: expand, cancel or delete), closed (no more children come), short (some sources got
-- none), cursor (how far its task has come), restoring (its children are being restored, so
-- its counts are not true yet).
local function read_batch(id) return read('batch', id) end
local function task_of_batch(batch) return read_task(batch.id .. ':batch') end

local function count_child(batch, status, by)
  batch.f['n:' .. status] = text(redis.call('HINCRBY', batch.key, 'n:' .. status, by))
end

-- Writes a batch with its sources [{source, key?}]; it is listed unless it is being deleted.
-- Answers the batch and its task, which is in no queue yet.
local function new_batch(id, fields, sources)
  local batch = {id = id, key = P .. 'batch:' .. id, f = {}}
  set(batch, fields)
  if batch.f.want ~= 'delete' then
    redis.call('ZADD', P .. 'batches', '0', batch.f.order)
    redis.call('ZADD', P .. 'batches:' .. batch.f.owner, '0', batch.f.order)
  end
  for _, one in ipairs(sources) do
    redis.call('RPUSH', P .. 'batch-sources:' .. id, cjson.encode(one))
    if one.key then
      redis.call('SADD', P .. 'users:' .. one.key, id)
      redis.call('ZREM', P .. 'chores', 'blob:' .. one.key)
    end
  end
  mark_batch(id)
  return batch, make_task(id .. ':batch', {
    role = 'batch', kind = 'batch', queue = 'fast', job = id, owner = batch.f.owner,
    source = batch.f.source, options = batch.f.options, waits = 0,
  })
end

local function batch_cleanup(batch)
  return 'batch:' .. batch.f.order .. ':' .. batch.f.owner
end

-- No more children come of the sources: blobs that no child uses are deleted.
local function release_sources(batch)
  local list = P .. 'batch-sources:' .. batch.id
  for _, line in ipairs(redis.call('LRANGE', list, '0', '-1')) do
    local key = cjson.decode(line).key
    if key then
      redis.call('SREM', P .. 'users:' .. key, batch.id)
      if redis.call('SCARD', P .. 'users:' .. key) == 0 then
        redis.call('ZADD', P .. 'chores', text(now), 'blob:' .. key)
      end
    end
  end
  redis.call('DEL', list)
end

-- No more children come; `short` means that some sources got none.
local function close(batch, short)
  if batch.f.closed == '1' then return end
  set(batch, {closed = 1, short = short and 1 or 0})
  release_sources(batch)
  mark_batch(batch.id)
end

local function persist_batch(batch)
  redis.call('ZREM', P .. 'chores', batch_cleanup(batch))
  redis.call('PERSIST', batch.key)
  redis.call('PERSIST', P .. 'events:' .. batch.id)
  redis.call('PERSIST', P .. 'piece:' .. batch.id .. ':batch')
  mark_batch(batch.id)
end

-- All that is kept of the batch goes at that time.
local function expire_batch(batch, at)
  redis.call('PEXPIREAT', batch.key, text(at))
  redis.call('PEXPIREAT', P .. 'events:' .. batch.id, text(at))
  redis.call('PEXPIREAT', P .. 'piece:' .. batch.id .. ':batch', text(at))
  redis.call('ZADD', P .. 'chores', text(at), batch_cleanup(batch))
end

local function end_batch(batch, status)
  local expires = now + cfg.job_ms
  set(batch, {status = status, finished = now, expires = expires})
  event(batch, 'batch.' .. status)
  expire_batch(batch, expires)
  mark_batch(batch.id)
end

-- Answers the status that the counts amount to. Deleted children do not count. A batch with
-- an error, or with sources that got no child, is not completed.
local function batch_status(batch)
  local won, some = number(batch, 'n:completed'), number(batch, 'n:partial')
  local failed, cancelled = number(batch, 'n:failed'), number(batch, 'n:cancelled')
  local open = number(batch, 'n:accepted') + number(batch, 'n:processing')
  if batch.f.closed ~= '1' or open > 0 then
    return number(batch, 'made') > 0 and 'processing' or 'accepted'
  end
  local wrong = (batch.f.error or '') ~= ''
  local whole = not wrong and batch.f.short ~= '1'
  if whole and some + failed + cancelled == 0 then return 'completed' end
  if won + some > 0 then return 'partial' end
  return (wrong or failed > 0) and 'failed' or 'cancelled'
end

local function derive_batch(batch)
  if batch.f.want == 'delete' or batch.f.restoring == '1' then return end
  local status, was = batch_status(batch), batch.f.status
  if ENDED_JOB[was] and ENDED_JOB[status] then return end
  if ENDED_JOB[was] then
    persist_batch(batch)
    set(batch, {status = status, finished = '', expires = ''})
    event(batch, 'batch.reopened')
  elseif ENDED_JOB[status] then
    end_batch(batch, status)
  elseif status ~= was then
    set(batch, {status = status})
  end
end

-- A child's status has changed.
local function recount(job, was, status)
  local batch = job.f.batch and read_batch(job.f.batch)
  if not batch then return end
  count_child(batch, was, -1)
  count_child(batch, status, 1)
  -- A job without a manifest is not made again if the batch's own says that it was made.
  if status == 'deleted' then mark_batch(batch.id) end
  touch(batch)
end

-- A child has ended or was reopened. If the batch's task waits for room, there is some.
local function update_parent(job)
  local batch = job.f.batch and read_batch(job.f.batch)
  if not batch then return end
  wake(task_of_batch(batch))
  derive_batch(batch)
end
