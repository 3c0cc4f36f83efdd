-- Reads batches, cancels and deletes them, and ends the stages of their tasks.
-- arg: op, and
--   get: id, being_deleted? (answer one that is being deleted, too)
--   export: id
--   list: owner?, before?, limit
--   sources: id, from, count
--   children: id, status, after, limit
--   want: call, id, want (cancel or delete)
--   done: call, task, token, fence, done (the stage: expand, cancel or delete), short?
--     (some sources got no job), warnings
-- Answers {id, batch} or {gone}; export: the same with done (its task has ended), also of
--   one that is being deleted; {batches, next?}; {sources}; {children}; want: {gone},
--   {ended} or an outcome; done: {again} where the batch has another stage to do by now,
--   or an outcome.

local function view(batch)
  return {id = batch.id, batch = batch.f}
end

local function get()
  local batch = read_batch(arg.id)
  if not batch or (batch.f.want == 'delete' and not arg.being_deleted) then
    return {gone = true}
  end
  return view(batch)
end

local function export()
  local batch = read_batch(arg.id)
  if not batch then return {gone = true} end
  local found = view(batch)
  found.done = ENDED[task_of_batch(batch).f.state] or false
  return found
end

local function list()
  local key = P .. 'batches' .. (arg.owner and ':' .. arg.owner or '')
  local from = arg.before and '(' .. arg.before or '+'
  local members =
    redis.call('ZREVRANGEBYLEX', key, from, '-', 'LIMIT', '0', text(arg.limit + 1))
  local found = {}
  for i = 1, math.min(#members, arg.limit) do
    local batch = read_batch(string.sub(members[i], 14))
    if batch then found[#found + 1] = view(batch) end
  end
  return {batches = found, next = #members > arg.limit and members[arg.limit] or nil}
end

local function sources()
  local lines = redis.call(
    'LRANGE', P .. 'batch-sources:' .. arg.id, text(arg.from),
    text(arg.from + arg.count - 1)
  )
  local found = {}
  for i, line in ipairs(lines) do found[i] = cjson.decode(line).source end
  return {sources = found}
end

local function children()
  return {children = redis.call(
    'ZRANGEBYLEX', P .. 'batch-jobs:' .. arg.status .. ':' .. arg.id,
    arg.after ~= '' and '(' .. arg.after or '-', '+', 'LIMIT', '0', text(arg.limit)
  )}
end

-- Ending many children takes more than one call: the batch's task does it. No child is made
-- from here on.
local function set_wanted()
  local batch = read_batch(arg.id)
  if not batch or batch.f.want == 'delete' then return {gone = true} end
  if arg.want == 'cancel' then
    if ENDED_JOB[batch.f.status] then return {ended = batch.f.status} end
    if batch.f.want == 'cancel' then return outcome(true) end
    event(batch, 'batch.cancelling')
  else
    redis.call('ZREM', P .. 'batches', batch.f.order)
    redis.call('ZREM', P .. 'batches:' .. batch.f.owner, batch.f.order)
    persist_batch(batch)
  end
  set(batch, {want = arg.want})
  close(batch, true)
  touch(batch)
  local batch_task = task_of_batch(batch)
  -- A running task sees it at its next child, or when it ends its stage.
  if batch_task.f.state ~= 'running' then
    renew(batch_task)
    enqueue(batch_task, 0)
  end
  derive_batch(batch)
  return outcome(true)
end

local function remove(batch)
  redis.call(
    'DEL', batch.key, P .. 'events:' .. batch.id, P .. 'piece:' .. batch.id .. ':batch',
    P .. 'batch-sources:' .. batch.id
  )
  mark_batch(batch.id)
end

local function end_stage()
  local batch_task, stale = claimed_task()
  if not batch_task then return stale end
  local batch = read_batch(batch_task.f.job)
  if batch.f.want ~= arg.done then return {again = true} end
  settle(batch_task, 'succeeded')
  mark_batch(batch.id)
  if arg.done == 'delete' then
    remove(batch)
    return outcome(true)
  end
  if arg.done == 'expand' then
    set(batch, {warnings = splice(batch.f.warnings, arg.warnings)})
    close(batch, arg.short)
    event(batch, 'batch.expanded')
  end
  touch(batch)
  derive_batch(batch)
  return outcome(true)
end

if arg.op == 'get' then return cjson.encode(get()) end
if arg.op == 'export' then return cjson.encode(export()) end
if arg.op == 'list' then return cjson.encode(list()) end
if arg.op == 'sources' then return cjson.encode(sources()) end
if arg.op == 'children' then return cjson.encode(children()) end
return replay_safe(arg.op == 'want' and set_wanted or end_stage)
