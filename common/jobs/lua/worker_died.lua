-- The process that held the task has died. arg: call, task, token? (its beginning;
-- another claim of the same task is left alone).
return replay_safe(function()
  local task = read_task(arg.task)
  local mine = task and task.f.state == 'running'
    and (not arg.token or string.sub(task.f.token, 1, #arg.token) == arg.token)
  if not mine then return {applied = false, job_ended = false} end
  local job = job_of(task)
  count('died')
  record_worker_loss(job, task, 'deaths', cfg.max_deaths)
  return outcome(true, job)
end)
