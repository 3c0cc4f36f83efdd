-- Writes a job that has not begun. arg: id, owner, source, source_key?, search?, options,
-- metadata, subscriptions, outputs [{name, kind, spec, queue}].

-- Answers the job and its prepare task, which is in no queue yet.
local function new_job(created, batch_id)
  local job = {id = arg.id, key = P .. 'job:' .. arg.id, f = {}}
  local names = {}
  for _, output in ipairs(arg.outputs) do names[#names + 1] = output.name end
  set(job, {
    owner = arg.owner, order = string.format('%013.0f', created) .. arg.id,
    status = 'accepted', version = 0, fence = 0, created = created, updated = now,
    source = arg.source, options = arg.options, metadata = arg.metadata,
    subscriptions = arg.subscriptions, outputs = table.concat(names, ' '),
    warnings = '[]', source_kept = 1,
  })
  if batch_id then set(job, {batch = batch_id}) end
  index('ZADD', job, 'any')
  index('ZADD', job, 'accepted')
  if arg.search then redis.call('HSET', names_of(job), job.id, arg.search) end
  take_source(job, arg.source_key)
  for _, output in ipairs(arg.outputs) do
    make_task(output_id(job, output.name), {
      role = 'output', kind = 'render', queue = output.queue, job = job.id,
      owner = arg.owner, name = output.name, output_kind = output.kind,
      spec = output.spec, attempts = '[]', warnings = '[]', artifacts = '[]',
    })
  end
  return job, make_task(job.id .. ':prepare', {
    role = 'prepare', kind = 'prepare', queue = 'fast', job = job.id, owner = arg.owner,
  })
end
