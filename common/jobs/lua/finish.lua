-- Ends a claim well: publishes an output, keeps a part's result, or ends a delivery.
-- arg: call, task, token, fence, artifacts, result, warnings, reports, reading?, publish?
--   (the files are yet to be copied to the job's destination: the output goes on as a task
--   of kind publish and ends with that).
-- Answers an outcome, or {missing = name} and changes nothing: an index among the
--   artifacts names a file that is none of them.

-- An output that was made in parts has their files, in order, before those of the join.
local function artifacts_of(task)
  local all = '[]'
  if task.f.role == 'output' and task.f.kind == 'render' then
    for k = 0, number(task, 'nparts') - 1 do
      local key = P .. 'piece:' .. part_id(task, k)
      all = splice(all, redis.call('HGET', key, 'artifacts'))
    end
  end
  return splice(all, arg.artifacts)
end

-- Answers the first name in an index that no artifact has, or nil.
local function missing_name(artifacts)
  local all, known = cjson.decode(artifacts), {}
  for _, artifact in ipairs(all) do known[artifact.name] = true end
  for _, artifact in ipairs(all) do
    for _, name in ipairs(artifact.names or {}) do
      if not known[name] then return name end
    end
  end
  return nil
end

-- From here on the output's artifacts never change: any attempt that copies them, late or
-- twice, writes the same bytes under the same names.
local function publish_next(output)
  set(output, {
    kind = 'publish', queue = 'fast', result = '',
    attempt = 0, lost = 0, deaths = 0, refunds = 0,
  })
  enqueue(output, 0)
end

return replay_safe(function()
  local task = read_task(arg.task)
  if task and task.f.state == 'succeeded' and number(task, 'fence') == arg.fence then
    return {applied = true, job_ended = false}
  end
  local stale
  task, stale = claimed_task()
  if not task then return stale end
  local artifacts = artifacts_of(task)
  local lacking = missing_name(artifacts)
  if lacking then return {missing = lacking} end
  local job = job_of(task)
  add_reading(job)
  report(task, arg.reports)
  if task.f.cancel == '1' then
    end_task(job, task, 'cancelled')
    return outcome(false, job)
  end
  clear_outage(job, task)
  set(task, {result = arg.result, progress = 100, artifacts = artifacts})
  local output = output_of(task)
  if output then
    set(output, {warnings = splice(output.f.warnings, arg.warnings)})
  end
  if task.f.role == 'part' then
    settle(task, 'succeeded')
    if output and output.f.state == 'waiting' then join_if_last(output) end
    touch(job)
  elseif arg.publish then
    publish_next(task)
    event(job, 'output.publishing', task.f.name)
  else
    end_task(job, task, 'succeeded')
  end
  return outcome(true, job)
end)
