-- API keys. KEYS[1] is a hash "digest -> record (JSON text)", KEYS[2] a hash "id ->
-- digest", KEYS[3] the prefix of a key's counters. ARGV[1] names the step, ARGV[2] holds
-- its arguments as JSON.
--
--   PREFIX rate:ID        hash    tokens, at: the bucket of requests, expires when full
--
-- A blind repeat of admit takes a second token: the limit may count one request twice
-- after an outage, and never lets more through. quota.lua stands before this script.
local step, arg = ARGV[1], cjson.decode(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function whole(value) return string.format('%.0f', value) end

if step == 'put' then
  if redis.call('HSETNX', KEYS[2], arg.id, arg.digest) == 0 then
    return cjson.encode({taken = redis.call('HGET', KEYS[2], arg.id) ~= arg.digest})
  end
  redis.call('HSET', KEYS[1], arg.digest, arg.record)
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
  return cjson.encode({dropped = true})
end

if step == 'today' then
  local left, reset = quota.read(arg.prefix, arg.id, arg.most, now)
  return cjson.encode({left = left, reset = reset})
end

-- admit: find the key by its digest and take one token from its bucket.
local record = redis.call('HGET', KEYS[1], arg.digest)
if not record then return cjson.encode({known = false}) end
local limits = cjson.decode(record)
local answer = {known = true, granted = true, record = record}
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
