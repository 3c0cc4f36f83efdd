-- Extends a lease. arg: piece, token, fence, progress?. Answers ok, cancel or lost.
local piece = read_piece(arg.piece)
if not piece or piece.f.state ~= 'running' or piece.f.token ~= arg.token
  or number(piece, 'fence') ~= arg.fence then
  return 'lost'
end
redis.call('ZADD', P .. 'leased', text(now + cfg.lease_ms), piece.id)
if piece.f.cancel == '1' then return 'cancel' end
if arg.progress and text(arg.progress) ~= piece.f.progress then
  set(piece, {progress = arg.progress})
  local job = job_of(piece)
  if job then touch(job) end
end
return 'ok'
