-- Gives a queued task to a worker for one lease. The same token gets the same answer.
-- arg: task, token, worker, queue? (in which the message was that names the task).
-- With a queue the message only says that work is there, and the owners with work in the
-- queue take turns: the answer is the first task in the line of the owner who has waited
-- longest since his last turn. The named task keeps its place. Without one, as from
-- workers of earlier versions, or while nobody is in line, the answer is the named task.
-- Answers {id, task, job, name, spec, results, messages}, or {reason} why not: gone, done,
--   early (its delay is not over), busy (another worker has it), waiting (it is not
--   queued yet), withdrawn (its batch is about to cancel or delete its job), exhausted
--   (this call ended it).

-- So many tasks that cannot be begun are taken out of the lines in one call.
local MOST_DROPPED = 50

local function answer(task, job)
  local results = {}
  for k = 0, number(task, 'nparts') - 1 do
    results[k + 1] = redis.call('HGET', P .. 'piece:' .. part_id(task, k), 'result')
  end
  local parent = task.f.role == 'part' and parent_of(task) or task
  return cjson.encode({
    id = task.id, task = task.f, results = results, name = parent.f.name, spec = parent.f.spec,
    job = {
      source = job.f.source, media = job.f.media, options = job.f.options,
    },
    messages = messages,
  })
end

local function refuse(reason) return cjson.encode({reason = reason}) end

-- The children stand in line before the batch's task, which is to end them.
local function is_withdrawn(job)
  local id = not OUTSIDE_JOBS[job.f.role] and job.f.batch
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

local function may_begin(task)
  return task and task.f.state == 'queued' and number(task, 'not_before') <= now
end

-- Answers the record that a task's claims are counted in: its job, or itself.
local function holder_of(task)
  return OUTSIDE_JOBS[task.f.role] and task or read_job(task.f.job)
end

-- Answers the first task of the owner whose turn it is, with its holder, or nil. What a
-- worker of an earlier version has claimed meanwhile leaves the line; so does a withdrawn
-- task, which its batch is about to end. Should it stay, the reaper's message brings it
-- back.
local function next_in_turn()
  local turns = P .. 'turns:' .. arg.queue
  for _ = 1, MOST_DROPPED do
    local owner = redis.call('ZRANGE', turns, '0', '0')[1]
    if not owner then return nil end
    local line = P .. 'queued:' .. arg.queue .. ':' .. owner
    local id = redis.call('ZRANGE', line, '0', '0')[1]
    if id then
      local task = read_task(id)
      local holder = may_begin(task) and holder_of(task)
      if holder and not is_withdrawn(holder) then
        redis.call('ZADD', turns, text(instant), owner)
        return task, holder
      end
      redis.call('ZREM', line, id)
    else
      redis.call('ZREM', turns, owner)
    end
  end
  return nil
end

-- Answers the task to claim, with its holder. What an earlier call with this token chose
-- is kept where it is not the named task.
local function choose()
  local named = read_task(arg.task)
  if not arg.queue or (named and named.f.token == arg.token) then return named end
  local call = P .. 'call:' .. string.gsub(arg.token, ':', '-')
  local earlier = redis.call('GET', call)
  local task = earlier and read_task(earlier)
  if task and (task.f.token == arg.token or task.f.exhausted_by == arg.token) then
    return task
  end
  if may_begin(named) and not redis.call('ZSCORE', line_of(named), named.id) then
    join_line(named)
  end
  local following, holder = next_in_turn()
  if not following then return named end
  if following.id ~= arg.task then
    redis.call('SET', call, following.id, 'PX', text(cfg.call_ms))
  end
  return following, holder
end

local task, job = choose()
if not task then return refuse('gone') end
job = job or holder_of(task)
if not job then return refuse('gone') end
local state = task.f.state
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
if is_withdrawn(job) then return refuse('withdrawn') end
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
