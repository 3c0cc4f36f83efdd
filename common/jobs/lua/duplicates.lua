-- Jobs of one owner with the same bytes and the same specs: the first makes the results,
-- the others get copies. arg: op, call, task, token, fence (of a claimed prepare) and
--   ask: digest, lost? (a duplicate whose files are gone), wait? Answers {run} (it is this
--     job's turn), {from = job} (its results may be copied), {wait = job} (it is still
--     at it; its end wakes who waits) or {stale}.
--   adopt: digest, from, media, source, source_key?, warnings, publish?, outputs
--     [{name, artifacts, warnings}]. Ends prepare and the outputs; answers an outcome.
--
--   same:DIGEST       string  the job that makes, or has made, those results
--   same-wait:DIGEST  set     tasks that wait for it

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

local function fill(job, one)
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
  local task, stale = claimed_task()
  if not task then return stale end
  local job = read_job(task.f.job)
  if task.f.cancel == '1' then
    end_task(job, task, 'cancelled')
    return outcome(false, job)
  end
  clear_outage(job, task)
  settle(task, 'succeeded')
  set(job, {
    media = arg.media, source = arg.source, warnings = arg.warnings,
    deduplicated_from = arg.from, same = arg.digest,
  })
  take_source(job, arg.source_key)
  -- The youngest of them lives longest.
  redis.call('SET', P .. 'same:' .. arg.digest, job.id)
  event(job, 'job.deduplicated', '', cjson.encode({from = arg.from}))
  for _, one in ipairs(arg.outputs) do fill(job, one) end
  return outcome(true, job)
end

return replay_safe(arg.op == 'ask' and ask or copy_from_duplicate)
