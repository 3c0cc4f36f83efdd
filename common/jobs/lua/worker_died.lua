-- The process that held the piece has died. arg: call, piece, token? (its beginning;
-- another claim of the same piece is left alone).
return once(function()
  local piece = read_piece(arg.piece)
  local mine = piece and piece.f.state == 'running'
    and (not arg.token or string.sub(piece.f.token, 1, #arg.token) == arg.token)
  if not mine then return {applied = false, job_ended = false} end
  local job = job_of(piece)
  count('died')
  bereave(job, piece, 'deaths', cfg.max_deaths)
  return outcome(true, job)
end)
