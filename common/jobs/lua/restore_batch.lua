-- Writes a batch of which only the manifest is left, and lets it go on.
-- arg: call, op, id, and restore: fields, sources [{source, key?}], done (its task has
--   ended), dry? (change nothing).
-- restore answers {state}: known (the batch is there), leaving (it was deleted, or its
--   retention has ended) or restored. resume answers {messages}.
-- Between the two the jobs of the batch are restored. Until one is, it counts as deleted;
-- no new one is made, and the batch keeps its status.

local function state()
  if redis.call('EXISTS', P .. 'batch:' .. arg.id) == 1 then return 'known' end
  local expires = tonumber(arg.fields.expires or '') or 0
  if redis.call('ZSCORE', P .. 'manifests', 'batch:' .. arg.id)
    or (expires > 0 and expires <= now) then
    return 'leaving'
  end
  return 'restored'
end

local function restore()
  local fields = {}
  for name, value in pairs(arg.fields) do
    if string.sub(name, 1, 2) ~= 'n:' then fields[name] = value end
  end
  fields['n:deleted'], fields.restoring = fields.made, 1
  local batch, batch_task = new_batch(arg.id, fields, arg.sources)
  if arg.done then set(batch_task, {state = 'succeeded'}) end
  redis.call(
    'XADD', P .. 'events:' .. batch.id, '*', 'type', 'batch.' .. batch.f.status,
    'at', text(now), 'output', '', 'data', '{}'
  )
  if ENDED_JOB[batch.f.status] then expire_batch(batch, batch.f.expires) end
end

local function resume()
  local batch = read_batch(arg.id)
  if batch and batch.f.restoring == '1' then
    redis.call('HDEL', batch.key, 'restoring')
    batch.f.restoring = nil
    local batch_task = task_of_batch(batch)
    if batch_task.f.state == 'waiting' then enqueue(batch_task, 0) end
    touch(batch)
    derive_batch(batch)
    mark_batch(batch.id)
  end
  return {messages = messages}
end

return replay_safe(function()
  if arg.op == 'resume' then return resume() end
  local found = state()
  if found == 'leaving' and not arg.dry then mark_batch(arg.id) end
  if found == 'restored' and not arg.dry then restore() end
  return {state = found}
end)
