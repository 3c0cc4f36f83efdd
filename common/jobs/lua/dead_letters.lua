-- Lists the tasks that were given up, runs them again, or forgets them.
-- arg: op, and list: limit; redrive: call, task; purge: call, task? (without it all).
-- Answers {dead = [{task, at, info, gone? (its record has expired)}]}; redrive: {gone},
--   {none = state} where nothing is to run again, or an outcome; {removed}.
-- redrive renews a task's attempts; its fence goes on growing.

local function list()
  local found = {}
  local flat = redis.call(
    'ZREVRANGE', P .. 'dead', '0', text(arg.limit - 1), 'WITHSCORES'
  )
  for i = 1, #flat, 2 do
    local info = redis.call('HGET', P .. 'dead:info', flat[i])
    if info then
      found[#found + 1] = {
        task = flat[i], at = tonumber(flat[i + 1]), info = info,
        gone = redis.call('EXISTS', P .. 'piece:' .. flat[i]) == 0 or nil,
      }
    end
  end
  return cjson.encode({dead = found})
end

-- A failed batch has given up its list of sources; a prefix can be listed again.
local function resume(batch_task)
  if batch_task.f.state ~= 'failed' then return {none = batch_task.f.state} end
  local batch = read_batch(batch_task.f.job)
  if not batch then return {gone = true} end
  if batch.f.want == 'expand' then
    if batch.f.prefix == '' then return {none = batch_task.f.state} end
    set(batch, {closed = 0, short = 0, error = ''})
  end
  renew(batch_task)
  enqueue(batch_task, 0)
  derive_batch(batch)
  return outcome(true)
end

local function redrive()
  local task = read_task(arg.task)
  if not task then return {gone = true} end
  if task.f.role == 'notice' then
    if not ENDED[task.f.state] then return {none = task.f.state} end
    redis.call('PERSIST', task.key)
    redis.call(
      'ZREM', P .. 'chores', 'notice:' .. task.f.order .. ':' .. task.f.owner
    )
    renew(task)
    enqueue(task, 0)
    return outcome(true)
  end
  if task.f.role == 'batch' then return resume(task) end
  local job = read_job(task.f.job)
  if not job then return {gone = true} end
  local output = output_of(task)
  if reopen(job, output and output.f.name) == 0 then
    return {none = output and output.f.state or job.f.status}
  end
  return outcome(true, job)
end

local function purge()
  local ids = {arg.task}
  if not arg.task then ids = redis.call('ZRANGE', P .. 'dead', '0', '-1') end
  local removed = 0
  for _, id in ipairs(ids) do
    removed = removed + redis.call('ZREM', P .. 'dead', id)
    redis.call('HDEL', P .. 'dead:info', id)
  end
  return {removed = removed}
end

if arg.op == 'list' then return list() end
return replay_safe(arg.op == 'redrive' and redrive or purge)
