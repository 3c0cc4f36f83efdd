-- Removes a job whatever its state; claims that still run find it lost. Its notices stay.
-- arg: call, id. Answers {gone} or the record, with bells for who waited for the job; its
-- files become chores.
return once(function()
  local job = read_job(arg.id)
  if not job then return {gone = true} end
  local record = dump(job)
  for member in pairs(chores_of(job)) do redis.call('ZREM', P .. 'chores', member) end
  for _, piece in ipairs(pieces_of(job)) do
    unlist(piece)
    redis.call('ZREM', P .. 'dead', piece.id)
    redis.call('HDEL', P .. 'dead:info', piece.id)
    redis.call('DEL', piece.key)
  end
  index('ZREM', job, 'any')
  index('ZREM', job, job.f.status)
  recount(job, job.f.status, 'deleted')
  tell_twins(job, false)
  tell_parent(job)
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
  record.bells = bells
  return record
end)
