-- Cancels what has not ended: queued work at once, running work at its next heartbeat.
-- arg: call, id. Answers {gone}, {ended = status} or an outcome.
return replay_safe(function()
  local job = read_job(arg.id)
  if not job then return {gone = true} end
  if ENDED_JOB[job.f.status] then return {ended = job.f.status} end
  local prepare = read_task(job.id .. ':prepare')
  if prepare.f.state == 'running' then
    set(prepare, {cancel = 1})
  elseif not ENDED[prepare.f.state] then
    settle(prepare, 'cancelled')
  end
  for name in words(job.f.outputs) do
    local output = read_task(output_id(job, name))
    if output.f.state == 'running' then
      set(output, {cancel = 1})
    elseif not ENDED[output.f.state] then
      end_output(job, output, 'cancelled')
    end
  end
  touch(job)
  return outcome(true, job)
end)
