-- Batches: parents that count their children. A count moves in the same call as the
-- status of the child that it counts, so a batch's status is derived, never guessed.
--
--   batch:ID               hash  the batch; n:STATUS counts its children, n:deleted those
--                                that somebody removed; `want` is what its task is to
--                                do (expand | cancel | delete), `closed` says that no
--                                more children come, `cursor` how far it has come
--   batch-sources:ID       list  {source, key?} of each child to be made
--   batches[:OWNER]        zset  batches in lexical order of time and id
--   batch-jobs:STATUS:ID   zset  its children, likewise; STATUS or "any"
--   users:KEY              set   holds the batch's id too, until its children do
local function read_batch(id) return read('batch', id) end
local function steward_of(batch) return read_task(batch.id .. ':batch') end

local function tally(batch, status, by)
  batch.f['n:' .. status] = text(redis.call('HINCRBY', batch.key, 'n:' .. status, by))
end

local function batch_chore(batch)
  return 'batch:' .. batch.f.order .. ':' .. batch.f.owner
end

-- The blobs that its children were to have: those that got none of them are let go.
local function let_go(batch)
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

-- No more children come; `short` where not every source got one.
local function close(batch, short)
  if batch.f.closed == '1' then return end
  set(batch, {closed = 1, short = short and 1 or 0})
  let_go(batch)
end

local function keep_batch(batch)
  redis.call('ZREM', P .. 'chores', batch_chore(batch))
  redis.call('PERSIST', batch.key)
  redis.call('PERSIST', P .. 'events:' .. batch.id)
  redis.call('PERSIST', P .. 'piece:' .. batch.id .. ':batch')
end

local function end_batch(batch, status)
  local expires = now + cfg.job_ms
  set(batch, {status = status, finished = now, expires = expires})
  event(batch, 'batch.' .. status)
  redis.call('PEXPIREAT', batch.key, text(expires))
  redis.call('PEXPIREAT', P .. 'events:' .. batch.id, text(expires))
  redis.call('PEXPIREAT', P .. 'piece:' .. batch.id .. ':batch', text(expires))
  redis.call('ZADD', P .. 'chores', text(expires), batch_chore(batch))
end

-- What the counts make of a batch. Children that were deleted are no longer asked; an
-- error, or sources that got no child (`short`), keep it from being completed.
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
  if batch.f.want == 'delete' then return end
  local status, was = batch_status(batch), batch.f.status
  if ENDED_JOB[was] and ENDED_JOB[status] then return end
  if ENDED_JOB[was] then
    keep_batch(batch)
    set(batch, {status = status, finished = '', expires = ''})
    event(batch, 'batch.reopened')
  elseif ENDED_JOB[status] then
    end_batch(batch, status)
  elseif status ~= was then
    set(batch, {status = status})
  end
end

-- A child has another status, in the index already.
local function recount(job, was, status)
  local batch = job.f.batch and read_batch(job.f.batch)
  if not batch then return end
  tally(batch, was, -1)
  tally(batch, status, 1)
  touch(batch)
end

-- A child has ended or begun anew. Where the steward waits for room there is some.
local function update_parent(job)
  local batch = job.f.batch and read_batch(job.f.batch)
  if not batch then return end
  wake(steward_of(batch))
  derive_batch(batch)
end
