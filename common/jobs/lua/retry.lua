-- Runs a job's failed and cancelled outputs again.
-- arg: call, id, owner_cap?, total_cap?, crammed? (an ended job becomes an unfinished
--   one).
-- Answers {gone}, {none = status} where no output failed or was cancelled, {full} or an
--   outcome.
return replay_safe(function()
  local job = read_job(arg.id)
  if not job then return {gone = true} end
  local refused = ENDED_JOB[job.f.status] and job.f.status ~= 'completed'
    and crowded(job.f.owner)
  if refused then return refused end
  if reopen(job) == 0 then return {none = job.f.status} end
  return outcome(true, job)
end)
