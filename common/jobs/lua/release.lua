-- Gives a claim back. arg: call, piece, token, fence, how, error?, delay_ms, reports.
-- refund costs no attempt (a graceful stop; capped, so that a deployment that crashes in
-- a loop ends), retry costs one, fatal and cancelled end the piece. defer costs none: what
-- the piece waits for is no fault, and whoever defers knows that it comes. wait costs
-- none either: a part of the service itself is away, and is to come back in time.

return once(function()
  local piece, stale = held()
  if not piece then return stale end
  local job = job_of(piece)
  local notice = piece.f.role == 'notice'
  local how = arg.how
  local reason = arg.error or cfg.errors.exhausted
  report(piece, arg.reports)
  if piece.f.cancel == '1' or how == 'cancelled' then
    end_piece(job, piece, 'cancelled')
    return outcome(true, job)
  end
  if how == 'wait' then
    set(piece, {attempt = number(piece, 'attempt') - 1})
    hold(job, piece, note_away(host_of(piece.f.worker), reason))
    return outcome(true, job)
  end
  if how == 'fatal' then
    got_on(job, piece)
    if bear(piece, reason) then
      touch(job)
      return outcome(true, job)
    end
    end_piece(job, piece, 'failed', reason)
    return outcome(true, job)
  end
  if how == 'defer' then
    set(piece, {attempt = number(piece, 'attempt') - 1, waits = 1})
    requeue(job, piece, how, arg.delay_ms)
    return outcome(true, job)
  end
  local most = notice and cfg.max_notice_attempts or cfg.max_attempts
  if how == 'refund' and number(piece, 'refunds') < cfg.max_refunds then
    count('refunded')
    set(piece, {
      refunds = number(piece, 'refunds') + 1, attempt = number(piece, 'attempt') - 1,
    })
  elseif number(piece, 'attempt') >= most then
    bury(piece, reason)
    end_piece(job, piece, 'failed', reason)
    return outcome(true, job)
  end
  requeue(job, piece, how, arg.delay_ms)
  return outcome(true, job)
end)
