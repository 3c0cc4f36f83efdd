-- Puts a job on record. arg: call, id, owner, source, source_key?, options, metadata,
-- subscriptions, outputs [{name, kind, spec, queue}], idem?, fingerprint?,
-- owner_cap?, total_cap?. Answers {job_id, created, at?, bells}, {full}
-- or {mismatch}.

local function unfinished(suffix)
  return redis.call('ZCARD', P .. 'jobs:accepted' .. suffix)
    + redis.call('ZCARD', P .. 'jobs:processing' .. suffix)
end

local function known()
  if arg.idem then
    local kept = redis.call('GET', P .. 'idem:' .. arg.idem)
    local id, print = string.match(kept or '', '^(%S+) (.*)$')
    if id and redis.call('EXISTS', P .. 'job:' .. id) == 1 then
      if print ~= arg.fingerprint then return {mismatch = true} end
      return {job_id = id, created = false}
    end
  end
  if redis.call('EXISTS', P .. 'job:' .. arg.id) == 1 then
    return {job_id = arg.id, created = false}
  end
  if arg.owner_cap and unfinished(':' .. arg.owner) >= arg.owner_cap then
    return {full = 'owner'}
  end
  if arg.total_cap and unfinished('') >= arg.total_cap then return {full = 'total'} end
  return nil
end

local function create()
  local job = {id = arg.id, key = P .. 'job:' .. arg.id, f = {}}
  local names = {}
  for _, output in ipairs(arg.outputs) do names[#names + 1] = output.name end
  set(job, {
    owner = arg.owner, order = string.format('%013.0f', now) .. arg.id,
    status = 'accepted', version = 0, fence = 0, created = now, updated = now,
    source = arg.source, options = arg.options, metadata = arg.metadata,
    subscriptions = arg.subscriptions, outputs = table.concat(names, ' '),
    warnings = '[]', source_kept = 1,
  })
  index('ZADD', job, 'any')
  index('ZADD', job, 'accepted')
  if arg.source_key then
    set(job, {source_key = arg.source_key})
    redis.call('SADD', P .. 'users:' .. arg.source_key, job.id)
    redis.call('ZREM', P .. 'chores', 'blob:' .. arg.source_key)
  end
  for _, output in ipairs(arg.outputs) do
    make_piece(output_id(job, output.name), {
      role = 'output', kind = 'render', queue = output.queue, job = job.id,
      owner = arg.owner, name = output.name, output_kind = output.kind,
      spec = output.spec, attempts = '[]', warnings = '[]', artifacts = '[]',
    })
  end
  local prepare = make_piece(job.id .. ':prepare', {
    role = 'prepare', kind = 'prepare', queue = 'fast', job = job.id, owner = arg.owner,
  })
  enqueue(prepare, 0)
  event(job, 'job.accepted')
  if arg.idem then
    redis.call(
      'SET', P .. 'idem:' .. arg.idem, job.id .. ' ' .. arg.fingerprint,
      'PX', text(cfg.idem_ms)
    )
  end
  count('accepted')
  return {job_id = job.id, created = true, at = now, bells = bells}
end

return once(function() return known() or create() end)
