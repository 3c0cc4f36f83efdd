-- Publishes the work of a claim. arg: call, task, token, fence, artifacts, result,
-- warnings, reports, publish? (the files are yet to be copied to a destination: the
-- output goes on as a task of kind publish, and ends when that finishes).
-- Answers an outcome, or {missing = name} and changes nothing: no output succeeds with
-- an index that names a file which is none of its artifacts.

-- An output that was cut has its parts' files, in order, before those of the joining.
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

-- The first name in an index that no artifact has, or nil.
local function missing(artifacts)
  local all, known = cjson.decode(artifacts), {}
  for _, artifact in ipairs(all) do known[artifact.name] = true end
  for _, artifact in ipairs(all) do
    for _, name in ipairs(artifact.names or {}) do
      if not known[name] then return name end
    end
  end
  return nil
end

-- From here on the artifacts of the output never change: whichever attempt copies them,
-- late or twice, writes the same bytes under the same names.
local function go_on(output)
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
  local lacking = missing(artifacts)
  if lacking then return {missing = lacking} end
  local job = job_of(task)
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
    go_on(task)
    touch(job)
  else
    end_task(job, task, 'succeeded')
  end
  return outcome(true, job)
end)
