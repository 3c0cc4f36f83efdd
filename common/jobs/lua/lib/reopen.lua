-- Queues outputs that failed or were cancelled again, under the same ids. The job's fence
-- goes on growing, so a worker that is still busy with the earlier run is refused.

local function renew(task)
  set(task, {
    attempt = 0, lost = 0, deaths = 0, refunds = 0, away_since = 0, progress = 0,
    error = '', result = '', begun = '', finished = '',
  })
  redis.call('ZREM', P .. 'dead', task.id)
  redis.call('HDEL', P .. 'dead:info', task.id)
end

local function reopen_job(job)
  for member in pairs(cleanups_of(job)) do redis.call('ZREM', P .. 'chores', member) end
  redis.call('PERSIST', job.key)
  redis.call('PERSIST', P .. 'events:' .. job.id)
  for _, task in ipairs(tasks_of(job)) do redis.call('PERSIST', task.key) end
  set_status(job, 'accepted')
  set(job, {finished = '', expires = '', error = '', begun = ''})
  update_parent(job)
  mark(job)
end

-- The files may be deleted already, so all parts are made again, not only those that failed.
local function reopen_output(output)
  renew(output)
  -- It is rendered already, and only copied again.
  if output.f.kind == 'publish' then return enqueue(output, 0) end
  set(output, {artifacts = '[]', warnings = '[]', borne = ''})
  if number(output, 'nparts') == 0 then return enqueue(output, 0) end
  unlist(output)
  set(output, {state = 'waiting'})
  for k = 0, number(output, 'nparts') - 1 do
    local part = read_task(part_id(output, k))
    renew(part)
    set(part, {artifacts = '[]'})
    enqueue(part, 0)
  end
end

local function drop_parts(output)
  for k = 0, number(output, 'nparts') - 1 do
    local part = read_task(part_id(output, k))
    if part then
      unlist(part)
      redis.call('DEL', part.key)
    end
  end
  set(output, {nparts = 0})
end

-- Reopens the output `only`, or all that failed or were cancelled; answers how many.
local function reopen(job, only)
  local chosen = {}
  for name in words(job.f.outputs) do
    local output = read_task(output_id(job, name))
    local again = output.f.state == 'failed' or output.f.state == 'cancelled'
    if again and (not only or only == name) then chosen[#chosen + 1] = output end
  end
  if #chosen == 0 then return 0 end
  if ENDED_JOB[job.f.status] then reopen_job(job) end
  set(job, {resumed = 1})
  event(job, 'job.retried')
  local prepare = read_task(job.id .. ':prepare')
  if prepare.f.state == 'succeeded' then
    for _, output in ipairs(chosen) do reopen_output(output) end
    return #chosen
  end
  for _, output in ipairs(chosen) do
    drop_parts(output)
    renew(output)
    set(output, {state = 'waiting', artifacts = '[]', warnings = '[]'})
  end
  -- A running prepare task that is being cancelled loses its claim here.
  if ENDED[prepare.f.state] or prepare.f.cancel == '1' then
    renew(prepare)
    enqueue(prepare, 0)
  end
  return #chosen
end
