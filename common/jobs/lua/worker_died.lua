-- Counts the death of the process that held a task, and queues the task again.
-- arg: call, task, token? (how the dead claim's token began; another claim is left alone).
-- The message named the task, but the claim may have been on another one.
-- Answers an outcome.
local function is_dead(task)
  return task and task.f.state == 'running'
    and (not arg.token or string.sub(task.f.token, 1, #arg.token) == arg.token)
end

local function find_dead()
  local named = read_task(arg.task)
  if is_dead(named) then return named end
  for _, id in ipairs(arg.token and redis.call('ZRANGE', P .. 'leased', '0', '-1') or {}) do
    local task = read_task(id)
    if is_dead(task) then return task end
  end
  return nil
end

return replay_safe(function()
  local task = find_dead()
  if not task then return {applied = false, job_ended = false} end
  local job = job_of(task)
  increment('died')
  record_worker_loss(job, task, 'deaths', cfg.max_deaths)
  return outcome(true, job)
end)
