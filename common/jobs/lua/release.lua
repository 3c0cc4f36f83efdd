-- Gives a claim back. arg: call, task, token, fence, error?, delay_ms, reports,
--   reading?, how:
--   retry      costs an attempt; at the last one the task fails
--   refund     costs none: the worker stops. Capped, so that workers that always crash at
--              a task end it
--   defer      costs none: what the task waits for will wake it
--   wait       costs none: a part of the service is away, until its deadline
--   fatal      fails the task at once
--   cancelled  ends the task as cancelled
-- Answers an outcome.

return replay_safe(function()
  local task, stale = claimed_task()
  if not task then return stale end
  local job = job_of(task)
  add_reading(job)
  local how = arg.how
  local reason = arg.error or cfg.errors.exhausted
  report(task, arg.reports)
  if task.f.cancel == '1' or how == 'cancelled' then
    end_task(job, task, 'cancelled')
    return outcome(true, job)
  end
  if how == 'wait' then
    set(task, {attempt = number(task, 'attempt') - 1})
    wait_for_service(job, task, record_outage(host_of(task.f.worker), reason))
    return outcome(true, job)
  end
  if how == 'fatal' then
    clear_outage(job, task)
    if tolerate(task, reason) then
      touch(job)
      return outcome(true, job)
    end
    end_task(job, task, 'failed', reason)
    return outcome(true, job)
  end
  if how == 'defer' then
    set(task, {attempt = number(task, 'attempt') - 1, waits = 1})
    requeue(job, task, how, arg.delay_ms)
    return outcome(true, job)
  end
  if how == 'refund' and number(task, 'refunds') < cfg.max_refunds then
    increment('refunded')
    set(task, {
      refunds = number(task, 'refunds') + 1, attempt = number(task, 'attempt') - 1,
    })
  elseif is_last_attempt(task) then
    dead_letter(task, reason)
    end_task(job, task, 'failed', reason)
    return outcome(true, job)
  end
  requeue(job, task, how, arg.delay_ms)
  return outcome(true, job)
end)
