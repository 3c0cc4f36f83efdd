-- Keeps the answers to requests that carry an Idempotency-Key and make no job or batch.
-- arg: op, digest (of owner, address and key), token (of this execution of the request);
--   fingerprint (begin), answer (keep).
--
-- begin answers {state}: go (execute the request), busy (another execution runs),
--   mismatch (the key belongs to another request), or kept, with the answer.
-- keep stores the answer. drop forgets the request at once: it was refused, so it may be
--   sent again. A process that dies at work leaves the key for hold_ms.
--
-- Fields of once:DIGEST: print (the fingerprint), token, answer.
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
