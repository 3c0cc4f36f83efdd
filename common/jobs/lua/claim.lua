-- Takes a queued piece. arg: piece, token, worker. The same token gets the same answer.
-- Answers {reason} or {piece, job, results, bells}.

local function answer(piece, job)
  local results = {}
  for k = 0, number(piece, 'nparts') - 1 do
    results[k + 1] = redis.call('HGET', P .. 'piece:' .. part_id(piece, k), 'result')
  end
  local parent = piece.f.role == 'part' and parent_of(piece) or piece
  return cjson.encode({
    piece = piece.f, results = results, name = parent.f.name, spec = parent.f.spec,
    job = {
      source = job.f.source, media = job.f.media, options = job.f.options,
    },
    bells = bells,
  })
end

local function refuse(reason) return cjson.encode({reason = reason}) end

local function begin(job, piece)
  if (job.f.begun or '') == '' then
    set(job, {begun = now})
    if not ENDED_JOB[job.f.status] then move(job, 'processing') end
    event(job, 'job.processing')
  end
  local output = output_of(piece)
  if output and (output.f.begun or '') == '' then
    set(output, {begun = now})
    event(job, 'output.running', output.f.name)
  else
    touch(job)
  end
end

local piece = read_piece(arg.piece)
if not piece then return refuse('gone') end
local state = piece.f.state
local job = piece
if not APART[piece.f.role] then job = read_job(piece.f.job) end
if not job then return refuse('gone') end
if state == 'running' then
  if piece.f.token == arg.token then return answer(piece, job) end
  return refuse('busy')
end
if ENDED[state] then
  return refuse(piece.f.exhausted_by == arg.token and 'exhausted' or 'done')
end
if state == 'waiting' then return refuse('waiting') end
if number(piece, 'not_before') > now then return refuse('early') end

local apart = APART[piece.f.role]
local missed = not apart and away(host_of(arg.worker))
if missed and now < missed['until'] then
  hold(job, piece, missed)
  derive(job)
  if not ENDED[piece.f.state] then return refuse('early') end
  set(piece, {exhausted_by = arg.token})
  return refuse('exhausted')
end
local most = piece.f.role == 'notice' and cfg.max_notice_attempts or cfg.max_attempts
if number(piece, 'attempt') >= most then
  -- Only where the limit was lowered since the last attempt.
  set(piece, {exhausted_by = arg.token})
  bury(piece, cfg.errors.exhausted)
  end_piece(not apart and job or nil, piece, 'failed', cfg.errors.exhausted)
  if not apart then derive(job) end
  return refuse('exhausted')
end
local fence = redis.call('HINCRBY', job.key, 'fence', 1)
unlist(piece)
set(piece, {
  state = 'running', token = arg.token, worker = arg.worker, fence = fence,
  attempt = number(piece, 'attempt') + 1, updated = now, progress = 0,
})
if piece.f.waits == '1' then set(piece, {waits = 0}) end
redis.call('ZADD', P .. 'leased', text(now + cfg.lease_ms), piece.id)
if not apart then begin(job, piece) end
return answer(piece, job)
