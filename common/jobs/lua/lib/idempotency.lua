-- What an Idempotency-Key stands for: "id fingerprint" of a job or a batch.
-- arg: idem?, fingerprint?, idem_ms? (how long it is known).

-- Answers the earlier call's answer where its record lives, {mismatch}, or nil.
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
