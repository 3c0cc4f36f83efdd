-- API keys. KEYS[1] is a hash "digest -> record (JSON text)", KEYS[2] a hash "id ->
-- digest", KEYS[3] the prefix of a key's counters, KEYS[4] the list of manifests to be stored
-- (jobs/lua/manifests.lua). ARGV[1] names the step, ARGV[2] holds its arguments as JSON.
--
--   PREFIX rate:ID        hash    tokens, at: the bucket of requests, expires when full
--   PREFIX session:DIGEST string  the digest of the key that a browser signed in with
--   PREFIX sessions:ID    zset    the sessions of a key, by when they end
--
-- A session names its key by the digest, so it ends with that key or with its rotation.
-- A blind repeat of admit takes a second token: the limit may count one request twice
-- after an outage, and never lets more through. quota.lua stands before this script.
local step, arg = ARGV[1], cjson.decode(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function whole(value) return string.format('%.0f', value) end

-- The manifest of the key is not what its record says now.
local function mark(id)
  local instant = tonumber(time[1]) * 1000000 + tonumber(time[2])
  redis.call('ZADD', KEYS[4], whole(instant), 'key:' .. id)
end

if step == 'put' then
  if redis.call('HSETNX', KEYS[2], arg.id, arg.digest) == 0 then
    return cjson.encode({taken = redis.call('HGET', KEYS[2], arg.id) ~= arg.digest})
  end
  redis.call('HSET', KEYS[1], arg.digest, arg.record)
  mark(arg.id)
  return cjson.encode({taken = false})
end

if step == 'find' then
  local digest = redis.call('HGET', KEYS[2], arg.id)
  local record = digest and redis.call('HGET', KEYS[1], digest)
  return cjson.encode({known = record and true or false, record = record or nil})
end

-- change: only if the record is still the one that was read; a repeat finds its own.
if step == 'change' then
  local digest = redis.call('HGET', KEYS[2], arg.id)
  if not digest then return cjson.encode({state = 'gone'}) end
  local kept = redis.call('HGET', KEYS[1], digest)
  if kept ~= arg.old and kept ~= arg.record then
    return cjson.encode({state = 'other'})
  end
  redis.call('HSET', KEYS[1], digest, arg.record)
  mark(arg.id)
  return cjson.encode({state = 'done'})
end

-- rotate: the same record under another digest; the old key opens nothing from now on.
if step == 'rotate' then
  local digest = redis.call('HGET', KEYS[2], arg.id)
  if not digest then return cjson.encode({rotated = false}) end
  if digest ~= arg.digest then
    redis.call('HSET', KEYS[1], arg.digest, redis.call('HGET', KEYS[1], digest))
    redis.call('HDEL', KEYS[1], digest)
    redis.call('HSET', KEYS[2], arg.id, arg.digest)
    mark(arg.id)
  end
  return cjson.encode({rotated = true})
end

-- declare: the keys of the settings, and no other that was declared before.
if step == 'declare' then
  local wanted = {}
  for _, one in ipairs(arg.keys) do wanted[one.id] = one.digest end
  local known = redis.call('HGETALL', KEYS[2])
  for i = 1, #known, 2 do
    local id, digest = known[i], known[i + 1]
    local record = redis.call('HGET', KEYS[1], digest)
    local declared = record and cjson.decode(record).declared
    if wanted[id] ~= digest and (declared or wanted[id]) then
      redis.call('HDEL', KEYS[2], id)
      redis.call('HDEL', KEYS[1], digest)
      mark(id)
    end
  end
  for _, one in ipairs(arg.keys) do
    redis.call('HSET', KEYS[1], one.digest, one.record)
    redis.call('HSET', KEYS[2], one.id, one.digest)
  end
  return '{}'
end

if step == 'drop' then
  local digest = redis.call('HGET', KEYS[2], arg.id)
  if not digest then return cjson.encode({dropped = false}) end
  redis.call('HDEL', KEYS[2], arg.id)
  redis.call('HDEL', KEYS[1], digest)
  mark(arg.id)
  return cjson.encode({dropped = true})
end

-- mark_all: keys of versions that had no manifests, or whose bucket is another one now.
if step == 'mark_all' then
  for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do mark(id) end
  return '{}'
end

-- export: what restore takes.
if step == 'export' then
  local digest = redis.call('HGET', KEYS[2], arg.id)
  local record = digest and redis.call('HGET', KEYS[1], digest)
  if not record then return '{}' end
  return cjson.encode({id = arg.id, digest = digest, record = record})
end

-- restore: a key that is neither there nor, by its pending manifest, revoked just now.
if step == 'restore' then
  if redis.call('HEXISTS', KEYS[2], arg.id) == 1 then
    return cjson.encode({state = 'known'})
  end
  if redis.call('ZSCORE', KEYS[4], 'key:' .. arg.id) then
    return cjson.encode({state = 'leaving'})
  end
  if not arg.dry then
    redis.call('HSET', KEYS[1], arg.digest, arg.record)
    redis.call('HSET', KEYS[2], arg.id, arg.digest)
  end
  return cjson.encode({state = 'restored'})
end

if step == 'today' then
  local left, reset = quota.read(arg.prefix, arg.id, arg.most, now)
  return cjson.encode({left = left, reset = reset})
end

-- Answers the key of a session; nil for one that was ended, or whose key was.
local function key_of(session)
  local digest = redis.call('GET', KEYS[3] .. 'session:' .. session)
  local record = digest and redis.call('HGET', KEYS[1], digest)
  return record or nil
end

local function end_session(id, session)
  redis.call('DEL', KEYS[3] .. 'session:' .. session)
  redis.call('ZREM', KEYS[3] .. 'sessions:' .. id, session)
end

-- sign_in: a new session of a key; beyond the most that it may have, the oldest end.
if step == 'sign_in' then
  local record = redis.call('HGET', KEYS[1], arg.digest)
  if not record then return cjson.encode({known = false}) end
  local id = cjson.decode(record).id
  local all = KEYS[3] .. 'sessions:' .. id
  local ends = now + arg.ms
  redis.call('SET', KEYS[3] .. 'session:' .. arg.session, arg.digest, 'PX', whole(arg.ms))
  redis.call('ZREMRANGEBYSCORE', all, '-inf', whole(now))
  redis.call('ZADD', all, whole(ends), arg.session)
  redis.call('PEXPIRE', all, whole(arg.ms))
  local over = redis.call('ZCARD', all) - arg.most
  if over > 0 then
    for _, old in ipairs(redis.call('ZRANGE', all, '0', whole(over - 1))) do
      end_session(id, old)
    end
  end
  return cjson.encode({known = true})
end

if step == 'sign_out' then
  local record = key_of(arg.session)
  if record then end_session(cjson.decode(record).id, arg.session) end
  redis.call('DEL', KEYS[3] .. 'session:' .. arg.session)
  return '{}'
end

-- admit: find the key, by its digest or by a session, and take a token from its bucket.
local record
if arg.session then
  record = key_of(arg.session)
else
  record = redis.call('HGET', KEYS[1], arg.digest)
end
if not record then return cjson.encode({known = false}) end
local limits = cjson.decode(record)
local answer = {known = true, granted = true, record = record}
if arg.session then
  answer.session_ms = redis.call('PTTL', KEYS[3] .. 'session:' .. arg.session)
end
local rate = tonumber(limits.requests_per_second)
if rate and rate > 0 then
  local burst = tonumber(limits.burst)
  local key = KEYS[3] .. 'rate:' .. limits.id
  local bucket = redis.call('HMGET', key, 'tokens', 'at')
  local tokens, at = tonumber(bucket[1] or burst), tonumber(bucket[2] or now)
  tokens = math.min(burst, tokens + math.max(0, now - at) / 1000 * rate)
  answer.granted = tokens >= 1
  if answer.granted then tokens = tokens - 1 end
  redis.call('HSET', key, 'tokens', string.format('%.6f', tokens), 'at', whole(now))
  redis.call('PEXPIRE', key, whole(math.ceil(burst / rate * 1000) + 1000))
  answer.left = math.floor(tokens)
  answer.reset = math.ceil((burst - tokens) / rate)
  answer.wait = math.max(1, math.ceil((1 - tokens) / rate))
end
return cjson.encode(answer)
