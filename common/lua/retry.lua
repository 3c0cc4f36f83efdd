-- Runs the failed and cancelled outputs again. arg: call, id.
-- Answers {gone}, {none} or an outcome.
return once(function()
  local job = read_job(arg.id)
  if not job then return {gone = true} end
  if reopen(job) == 0 then return {none = job.f.status} end
  return outcome(true, job)
end)
