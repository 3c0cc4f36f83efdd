-- Writes a job of which only the manifest is left: to be done again, or as it had ended.
-- arg: call, created, version, the arguments of lib/new_job.lua, batch?, dry? (change
--   nothing), and for a job that has ended: ended {status, finished, expires, and the other
--   fields of the job} with state, error, artifacts, warnings and attempts in each output.
-- Answers {state}: known (the job is there), leaving (it was deleted, or its retention has
--   ended: its manifest is about to go), ended or queued; and messages.
-- Nobody is notified again of what had happened, and no quota is counted.

local function state()
  if redis.call('EXISTS', P .. 'job:' .. arg.id) == 1 then return 'known' end
  if redis.call('ZSCORE', P .. 'manifests', 'job:' .. arg.id)
    or redis.call('ZSCORE', P .. 'chores', 'deleted:' .. arg.id)
    or (arg.ended and arg.ended.expires <= now) then
    return 'leaving'
  end
  return arg.ended and 'ended' or 'queued'
end

-- The janitor deletes what is left of a job past its retention.
local function forget()
  redis.call('ZADD', P .. 'chores', 'NX', text(now), 'deleted:' .. arg.id)
  mark({id = arg.id})
end

local function tell(job, kind)
  redis.call(
    'XADD', P .. 'events:' .. job.id, '*', 'type', kind, 'at', text(now),
    'output', '', 'data', '{}'
  )
end

local function end_again(job, prepare)
  set_status(job, arg.ended.status)
  set(job, arg.ended)
  tell(job, 'job.' .. job.f.status)
  set(prepare, {state = arg.ended.media and 'succeeded' or 'cancelled'})
  for _, one in ipairs(arg.outputs) do
    set(read_task(output_id(job, one.name)), {
      state = one.state, error = one.error or '', artifacts = one.artifacts,
      warnings = one.warnings, attempts = one.attempts, finished = arg.ended.finished,
      begun = arg.created, progress = one.state == 'succeeded' and 100 or 0,
    })
  end
  local expires = text(arg.ended.expires)
  redis.call('PEXPIREAT', job.key, expires)
  redis.call('PEXPIREAT', P .. 'events:' .. job.id, expires)
  for _, task in ipairs(tasks_of(job)) do redis.call('PEXPIREAT', task.key, expires) end
  for member, after in pairs(cleanups_of(job)) do
    redis.call('ZADD', P .. 'chores', text(arg.ended.finished + after), member)
  end
end

-- The batch counts its jobs that are not back as deleted; one that was made after the
-- manifest of the batch is none of them.
local function join_again(batch)
  count_child(batch, 'accepted', 1)
  if number(batch, 'n:deleted') > 0 then
    count_child(batch, 'deleted', -1)
  else
    set(batch, {made = number(batch, 'made') + 1})
  end
end

local function restore()
  local batch = arg.batch and read_batch(arg.batch)
  local job, prepare = new_job(arg.created, arg.batch)
  if batch then join_again(batch) end
  -- Files of earlier attempts lie in folders named by their fences; so large a number none
  -- of them had.
  set(job, {fence = now, version = arg.version, resumed = 1})
  if arg.ended then
    end_again(job, prepare)
  else
    tell(job, 'job.accepted')
    enqueue(prepare, 0)
  end
  touch(job)
  if batch then derive_batch(batch) end
  mark(job)
end

return replay_safe(function()
  local found = state()
  if not arg.dry then
    if found == 'leaving' then forget() end
    if found == 'ended' or found == 'queued' then restore() end
  end
  return {state = found, messages = messages}
end)
