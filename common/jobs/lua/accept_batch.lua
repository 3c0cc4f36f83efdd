-- Stores a new batch; its task makes the jobs.
-- arg: call, id, fields (of the batch, without its times), sources [{source, key?}], idem?,
--   fingerprint?, kept? (its manifest is stored already), crammed? (the memory of the
--   server is nearly full).
-- Answers {job_id (the batch's id), created, at?, messages}, {mismatch}, or {full}.

local function create()
  local fields = arg.fields
  fields.order = string.format('%013.0f', now) .. arg.id
  fields.created, fields.updated = now, now
  local batch, batch_task = new_batch(arg.id, fields, arg.sources)
  enqueue(batch_task, 0)
  event(batch, 'batch.accepted')
  remember(arg.id)
  return {job_id = arg.id, created = true, at = now, messages = messages}
end

local function known()
  local earlier = recall()
  if earlier then return earlier end
  if redis.call('EXISTS', P .. 'batch:' .. arg.id) == 1 then
    return {job_id = arg.id, created = false}
  end
  return arg.crammed and {full = 'memory'} or nil
end

return replay_safe(function()
  local answer = known() or create()
  -- The manifest that was stored before is of no batch, or not as the batch is by now.
  if arg.kept and not answer.created then mark_batch(arg.id) end
  return answer
end)
