-- Publishes the work of a claim. arg: call, piece, token, fence, artifacts, result,
-- warnings, reports, publish? (the files are yet to be copied to a destination: the
-- output goes on as a piece of kind publish, and ends when that finishes).

local function join_if_last(output)
  for k = 0, number(output, 'nparts') - 1 do
    local state = redis.call('HGET', P .. 'piece:' .. part_id(output, k), 'state')
    if state ~= 'succeeded' then return end
  end
  enqueue(output, 0)
end

-- From here on the artifacts of the output never change: whichever attempt copies them,
-- late or twice, writes the same bytes under the same names.
local function go_on(output)
  set(output, {
    kind = 'publish', queue = 'fast', artifacts = arg.artifacts, result = '',
    attempt = 0, lost = 0, deaths = 0, refunds = 0,
  })
  enqueue(output, 0)
end

return once(function()
  local piece = read_piece(arg.piece)
  if piece and piece.f.state == 'succeeded' and number(piece, 'fence') == arg.fence then
    return {applied = true, job_ended = false}
  end
  local stale
  piece, stale = held()
  if not piece then return stale end
  local job = job_of(piece)
  report(piece, arg.reports)
  if piece.f.cancel == '1' then
    end_piece(job, piece, 'cancelled')
    return outcome(false, job)
  end
  set(piece, {result = arg.result, progress = 100})
  local output = output_of(piece)
  if output then
    set(output, {warnings = splice(output.f.warnings, arg.warnings)})
  end
  if piece.f.role == 'part' then
    settle(piece, 'succeeded')
    if output and output.f.state == 'waiting' then join_if_last(output) end
    touch(job)
  elseif arg.publish then
    go_on(piece)
    touch(job)
  else
    if output then set(piece, {artifacts = arg.artifacts}) end
    end_piece(job, piece, 'succeeded')
  end
  return outcome(true, job)
end)
