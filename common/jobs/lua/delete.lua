-- Removes a job in any state. A worker that still has a task of it finds its claim lost.
-- Deliveries stay, and the job's files become cleanups.
-- arg: call, id. Answers {gone}, or the job as it was, with the messages of the tasks that
--   waited for it.
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
  redis.call('HDEL', names_of(job), job.id)
  recount(job, job.f.status, 'deleted')
  notify_duplicates(job, false)
  update_parent(job)
  redis.call('DEL', job.key, P .. 'events:' .. job.id)
  mark(job)
  -- A worker may store files until its next heartbeat, so they are deleted after that.
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
