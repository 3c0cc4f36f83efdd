-- Extends a lease and notes progress. arg: task, token, fence, progress? (0 to 100).
-- Answers ok, cancel (stop and release) or lost (the claim no longer counts).
local task = read_task(arg.task)
if not task or task.f.state ~= 'running' or task.f.token ~= arg.token
  or number(task, 'fence') ~= arg.fence then
  return 'lost'
end
redis.call('ZADD', P .. 'leased', text(now + cfg.lease_ms), task.id)
if task.f.cancel == '1' then return 'cancel' end
if arg.progress and text(arg.progress) ~= task.f.progress then
  set(task, {progress = arg.progress})
  local job = job_of(task)
  if job then touch(job) end
end
return 'ok'
