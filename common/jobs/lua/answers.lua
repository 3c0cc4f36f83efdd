-- Answers of requests that carry an Idempotency-Key. arg: op, digest (of whose key it is,
-- the address and the key), token (of this execution); fingerprint (begin) | answer
-- (keep). once:DIGEST is a hash: print, token, answer.
--
-- begin answers go (do the work, under that token), busy (another execution does),
-- mismatch, or the kept answer. A process that dies at work frees the key when hold_ms
-- are over; drop frees it at once: what was refused may be sent again.
local key = P .. 'once:' .. arg.digest
local mine = redis.call('HGET', key, 'token') == arg.token

if arg.op == 'begin' then
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'print', arg.fingerprint, 'token', arg.token)
    redis.call('PEXPIRE', key, text(cfg.hold_ms))
    return cjson.encode({state = 'go'})
  end
  if redis.call('HGET', key, 'print') ~= arg.fingerprint then
    return cjson.encode({state = 'mismatch'})
  end
  local answer = redis.call('HGET', key, 'answer')
  if answer then return cjson.encode({state = 'kept', answer = answer}) end
  return cjson.encode({state = mine and 'go' or 'busy'})
elseif arg.op == 'keep' and mine then
  redis.call('HSET', key, 'answer', arg.answer)
  redis.call('PEXPIRE', key, text(cfg.idem_ms))
elseif arg.op == 'drop' and mine and redis.call('HEXISTS', key, 'answer') == 0 then
  redis.call('DEL', key)
end
return '{}'
