-- What an Idempotency-Key stands for: idem:DIGEST holds "ID FINGERPRINT" of a job or batch.
-- arg: idem? (the digest), fingerprint?, idem_ms? (how long it is kept).

-- Answers what the earlier call made while that exists, {mismatch}, or nil.
local function recall()
  if not arg.idem then return nil end
  local kept = redis.call('GET', P .. 'idem:' .. arg.idem)
  local id, print = string.match(kept or '', '^(%S+) (.*)$')
  if not id then return nil end
  if redis.call('EXISTS', P .. 'job:' .. id, P .. 'batch:' .. id) == 0 then return nil end
  if print ~= arg.fingerprint then return {mismatch = true} end
  return {job_id = id, created = false}
end

local function remember(id)
  if not arg.idem then return end
  redis.call(
    'SET', P .. 'idem:' .. arg.idem, id .. ' ' .. arg.fingerprint,
    'PX', text(arg.idem_ms or cfg.idem_ms)
  )
end
