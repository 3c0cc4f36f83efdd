-- Stores a new batch; its task makes the jobs.
-- arg: call, id, owner, origin, prefix?, sources [{source, key?}], template, metadata,
--   subscriptions, idem?, fingerprint?.
-- Answers {job_id (the batch's id), created, at?, messages} or {mismatch}.

local function create()
  local batch = {id = arg.id, key = P .. 'batch:' .. arg.id, f = {}}
  set(batch, {
    owner = arg.owner, order = string.format('%013.0f', now) .. arg.id,
    status = 'accepted', version = 0, created = now, updated = now, source = arg.origin,
    options = '{}', prefix = arg.prefix or '', listed = #arg.sources, made = 0,
    template = arg.template, metadata = arg.metadata, subscriptions = arg.subscriptions,
    warnings = '[]', want = 'expand', closed = 0, cursor = '',
  })
  redis.call('ZADD', P .. 'batches', '0', batch.f.order)
  redis.call('ZADD', P .. 'batches:' .. arg.owner, '0', batch.f.order)
  for _, one in ipairs(arg.sources) do
    redis.call('RPUSH', P .. 'batch-sources:' .. arg.id, cjson.encode(one))
    if one.key then
      redis.call('SADD', P .. 'users:' .. one.key, arg.id)
      redis.call('ZREM', P .. 'chores', 'blob:' .. one.key)
    end
  end
  local batch_task = make_task(arg.id .. ':batch', {
    role = 'batch', kind = 'batch', queue = 'fast', job = arg.id, owner = arg.owner,
    source = arg.origin, options = '{}', waits = 0,
  })
  enqueue(batch_task, 0)
  event(batch, 'batch.accepted')
  remember(arg.id)
  return {job_id = arg.id, created = true, at = now, messages = messages}
end

return replay_safe(function()
  local known = recall()
  if known then return known end
  if redis.call('EXISTS', P .. 'batch:' .. arg.id) == 1 then
    return {job_id = arg.id, created = false}
  end
  return create()
end)
