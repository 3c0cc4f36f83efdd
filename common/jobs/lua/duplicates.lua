-- Finds the job of the same owner with the same bytes and outputs: the first such job makes
-- the results and the others copy them.
-- arg: op, call, task, token, fence (of a claimed prepare task), digest (of owner, bytes
--   and outputs), and
--   ask: lost? (a job whose files are gone), wait? (whether this task would wait)
--   copy_from_duplicate: from, media, source, source_key?, reading?, warnings,
--     publish?, outputs [{name, artifacts, warnings}]
-- ask answers {run} (this job makes them), {from = job} (copy that job's), {wait = job}
--   (that job is making them and wakes this task at its end) or {stale}.
-- copy_from_duplicate ends the prepare task and the outputs; it answers an outcome.

local function ask()
  local task = claimed_task()
  if not task then return {stale = true} end
  local key = P .. 'same:' .. arg.digest
  local holder = redis.call('GET', key)
  local job = holder and holder ~= arg.lost and read_job(holder)
  if job and job.id ~= task.f.job then
    if job.f.status == 'completed' then return {from = job.id} end
    if not ENDED_JOB[job.f.status] then
      if not arg.wait then return {run = true} end
      redis.call('SADD', P .. 'same-wait:' .. arg.digest, task.id)
      return {wait = job.id}
    end
  end
  redis.call('SET', key, task.f.job)
  set(read_job(task.f.job), {same = arg.digest})
  return {run = true}
end

local function copy_output(job, one)
  local output = read_task(output_id(job, one.name))
  if not output or output.f.state ~= 'waiting' then return end
  set(output, {
    artifacts = one.artifacts, warnings = one.warnings, begun = now, progress = 100,
  })
  event(job, 'output.running', output.f.name)
  if not arg.publish then return end_output(job, output, 'succeeded') end
  set(output, {kind = 'publish', queue = 'fast'})
  enqueue(output, 0)
end

local function copy_from_duplicate()
  local job, refused = end_prepare()
  if not job then return refused end
  set(job, {warnings = arg.warnings, deduplicated_from = arg.from, same = arg.digest})
  -- The youngest job is kept longest, so the next duplicate copies from this one.
  redis.call('SET', P .. 'same:' .. arg.digest, job.id)
  event(job, 'job.deduplicated', '', cjson.encode({from = arg.from}))
  for _, one in ipairs(arg.outputs) do copy_output(job, one) end
  return outcome(true, job)
end

return replay_safe(arg.op == 'ask' and ask or copy_from_duplicate)
