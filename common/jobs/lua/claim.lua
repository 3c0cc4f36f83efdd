-- Gives a queued task to a worker for one lease. The same token gets the same answer.
-- arg: task, token, worker.
-- Answers {task, job, name, spec, results, messages}, or {reason} why not: gone, done,
--   early (its delay is not over), busy (another worker has it), waiting (it is not
--   queued yet), withdrawn (its batch is about to cancel or delete its job), exhausted
--   (this call ended it).

local function answer(task, job)
  local results = {}
  for k = 0, number(task, 'nparts') - 1 do
    results[k + 1] = redis.call('HGET', P .. 'piece:' .. part_id(task, k), 'result')
  end
  local parent = task.f.role == 'part' and parent_of(task) or task
  return cjson.encode({
    task = task.f, results = results, name = parent.f.name, spec = parent.f.spec,
    job = {
      source = job.f.source, media = job.f.media, options = job.f.options,
    },
    messages = messages,
  })
end

local function refuse(reason) return cjson.encode({reason = reason}) end

-- Messages for the children stand before that of the batch's task, which is to end them.
local function is_withdrawn(job)
  local id = job.f.batch
  local wanted = id and redis.call('HGET', P .. 'batch:' .. id, 'want')
  if not wanted or wanted == 'expand' then return false end
  local state = redis.call('HGET', P .. 'piece:' .. id .. ':batch', 'state')
  return state and not ENDED[state]
end

local function begin(job, task)
  if (job.f.begun or '') == '' then
    set(job, {begun = now})
    if not ENDED_JOB[job.f.status] then set_status(job, 'processing') end
    event(job, 'job.processing')
  end
  local output = output_of(task)
  if output and (output.f.begun or '') == '' then
    set(output, {begun = now})
    local n = number(output, 'nparts')
    local data = n > 0 and cjson.encode({parts = n}) or nil
    event(job, 'output.running', output.f.name, data)
  else
    touch(job)
  end
end

local task = read_task(arg.task)
if not task then return refuse('gone') end
local state = task.f.state
local job = task
if not OUTSIDE_JOBS[task.f.role] then job = read_job(task.f.job) end
if not job then return refuse('gone') end
if state == 'running' then
  if task.f.token == arg.token then return answer(task, job) end
  return refuse('busy')
end
if ENDED[state] then
  return refuse(task.f.exhausted_by == arg.token and 'exhausted' or 'done')
end
if state == 'waiting' then return refuse('waiting') end
if number(task, 'not_before') > now then return refuse('early') end

local outside = OUTSIDE_JOBS[task.f.role]
if not outside and is_withdrawn(job) then return refuse('withdrawn') end
local missed = not outside and outage_of(host_of(arg.worker))
if missed and now < missed['until'] then
  wait_for_service(job, task, missed)
  derive(job)
  if not ENDED[task.f.state] then return refuse('early') end
  set(task, {exhausted_by = arg.token})
  return refuse('exhausted')
end
if is_last_attempt(task) then
  -- Only where the limit was lowered since the last attempt.
  set(task, {exhausted_by = arg.token})
  dead_letter(task, cfg.errors.exhausted)
  end_task(not outside and job or nil, task, 'failed', cfg.errors.exhausted)
  if not outside then derive(job) end
  return refuse('exhausted')
end
local fence = redis.call('HINCRBY', job.key, 'fence', 1)
unlist(task)
set(task, {
  state = 'running', token = arg.token, worker = arg.worker, fence = fence,
  attempt = number(task, 'attempt') + 1, updated = now, progress = 0,
})
if task.f.waits == '1' then set(task, {waits = 0}) end
redis.call('ZADD', P .. 'leased', text(now + cfg.lease_ms), task.id)
if not outside then begin(job, task) end
return answer(task, job)
