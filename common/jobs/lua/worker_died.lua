-- Counts the death of the process that held a task, and queues the task again.
-- arg: call, task, token? (how the dead claim's token began; another claim is left alone).
-- Answers an outcome.
return replay_safe(function()
  local task = read_task(arg.task)
  local mine = task and task.f.state == 'running'
    and (not arg.token or string.sub(task.f.token, 1, #arg.token) == arg.token)
  if not mine then return {applied = false, job_ended = false} end
  local job = job_of(task)
  increment('died')
  record_worker_loss(job, task, 'deaths', cfg.max_deaths)
  return outcome(true, job)
end)
