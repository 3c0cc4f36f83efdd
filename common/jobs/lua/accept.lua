-- Stores a new job with its tasks, indexes, quota and Idempotency-Key.
-- arg: call, id, owner, source, source_key?, search?, options, metadata, subscriptions,
--   outputs [{name, kind, spec, queue}], idem?, fingerprint?, owner_cap?, total_cap?,
--   quota_key?, quota_jobs?, kept? (its manifest is stored already), crammed?. For a job of a batch
--   also task, token, fence (of the claim that makes it), cursor (how far the batch is once
--   it exists) and key? (the id of the API key that the batch came with).
-- Answers {job_id, created, at?, messages}; {full, wait?} where a cap is reached;
--   {mismatch} where the Idempotency-Key belongs to another request; {off} and why the
--   batch makes no more jobs.

local function full()
  local refused = crowded(arg.owner)
  if refused then return refused end
  if not arg.quota_key then return nil end
  local left, reset = quota.read(P, arg.quota_key, arg.quota_jobs, now)
  return left == 0 and {full = 'day', wait = reset} or nil
end

local function known()
  local earlier = recall()
  if earlier then return earlier end
  if redis.call('EXISTS', P .. 'job:' .. arg.id) == 1 then
    return {job_id = arg.id, created = false}
  end
  return full()
end

-- Answers the batch whose claimed task makes this child, or nil and why it must not.
local function parent()
  local batch_task = claimed_task()
  if not batch_task then return nil, {off = 'lost'} end
  local batch = read_batch(batch_task.f.job)
  if not batch or batch.f.want ~= 'expand' then return nil, {off = 'called'} end
  if arg.key and redis.call('HEXISTS', P .. 'key-ids', arg.key) == 0 then
    return nil, {off = 'revoked'}
  end
  return batch
end

-- The cursor moves in the call that makes the child: none is made twice or left out. A
-- task that made a child has got on, so its attempts are renewed.
local function join_batch(batch, job)
  set(batch, {cursor = arg.cursor, made = number(batch, 'made') + 1})
  set({key = P .. 'piece:' .. arg.task, f = {}}, {attempt = 1, lost = 0, deaths = 0})
  count_child(batch, job.f.status, 1)
  touch(batch)
  derive_batch(batch)
end

local function create(batch)
  local job, prepare = new_job(now, batch and batch.id)
  enqueue(prepare, 0)
  event(job, 'job.accepted')
  remember(job.id)
  local reserved = quota.commit(P, job.id)
  if arg.quota_key and not reserved then quota.count(P, arg.quota_key, now) end
  if batch then join_batch(batch, job) end
  increment('accepted')
  if not arg.kept then mark(job) end
  return {job_id = job.id, created = true, at = now, messages = messages}
end

local function accept()
  if not arg.task then return known() or create() end
  local batch, off = parent()
  return off or known() or create(batch)
end

return replay_safe(function()
  local answer = accept()
  -- The manifest that was stored before is of no job, or not as the job is by now.
  if arg.kept and not answer.created then mark({id = arg.id}) end
  return answer
end)
