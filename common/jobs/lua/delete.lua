-- Removes a job whatever its state; claims that still run find it lost. Its deliveries stay.
-- arg: call, id. Answers {gone} or the record, with messages for who waited for the job; its
-- files become cleanups.
return replay_safe(function()
  local job = read_job(arg.id)
  if not job then return {gone = true} end
  local record = dump(job)
  for member in pairs(cleanups_of(job)) do redis.call('ZREM', P .. 'chores', member) end
  for _, task in ipairs(tasks_of(job)) do
    unlist(task)
    redis.call('ZREM', P .. 'dead', task.id)
    redis.call('HDEL', P .. 'dead:info', task.id)
    redis.call('DEL', task.key)
  end
  index('ZREM', job, 'any')
  index('ZREM', job, job.f.status)
  recount(job, job.f.status, 'deleted')
  notify_duplicates(job, false)
  update_parent(job)
  redis.call('DEL', job.key, P .. 'events:' .. job.id)
  -- A worker may store a file until its next beat, so the sweep comes after that.
  local due = text(now + cfg.lease_ms)
  redis.call('ZADD', P .. 'chores', due, 'deleted:' .. job.id)
  local key = job.f.source_key
  if key then
    redis.call('SREM', P .. 'users:' .. key, job.id)
    if redis.call('SCARD', P .. 'users:' .. key) == 0 then
      redis.call('ZADD', P .. 'chores', due, 'blob:' .. key)
    end
  end
  record.messages = messages
  return record
end)
