-- Stores one upload, which takes several requests.
-- KEYS: the upload's hash; the sorted set of all uploads by expiry.
-- ARGV: the step; its arguments as JSON. Every step takes id and keep_ms, and
--   create: doc (JSON), most? (unfinished uploads of the owner), quota_key?, quota_jobs?
--   take: offset, token. save: from, to, fence, parts (JSON), rest. close: etag.
--   expired: limit. get, use and drop take nothing more.
-- Answers {answer, record}: ok; gone; full (too many unfinished uploads); day with wait
--   (the day's quota is used up); offset (the upload is at another one); stale (another
--   writer took over). expired answers a list of ids.
--
-- Fields: doc (JSON, as created), state (open, complete), offset, parts (JSON list that
-- only grows), rest (key of the blob with the bytes after the last part), fence and token
-- (of the writer that may save), etag, used (a job has the blob).
--
-- Every step may be repeated blindly: create keeps the first upload, take knows its token,
-- save its offsets. The newest writer wins; an older one is refused at its next save.
-- quota.lua stands before this script: an upload with a job reserves its place of the day
-- in the call that opens it.
local step, arg = ARGV[1], cjson.decode(ARGV[2])
local key, all = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function text(value) return string.format('%.0f', value) end

local prefix = string.sub(key, 1, -#('upload:' .. arg.id) - 1)

local function open_of(doc) return prefix .. 'open-uploads:' .. cjson.decode(doc).owner end

-- Answers whether a job has the blob: it is recorded here, or, after a crash before that,
-- only in the job store.
local function used()
  return redis.call('HGET', key, 'used') == '1'
    or redis.call('EXISTS', prefix .. 'users:in/' .. arg.id .. '/source') == 1
end

local function record()
  local fields = redis.call('HGETALL', key)
  local found = {}
  for i = 1, #fields, 2 do found[fields[i]] = fields[i + 1] end
  found.used = used() and '1' or ''
  found.expires_at = redis.call('ZSCORE', all, arg.id)
  return found
end

local function keep()
  redis.call('ZADD', all, text(now + arg.keep_ms), arg.id)
  local open = open_of(redis.call('HGET', key, 'doc'))
  if redis.call('HGET', key, 'state') == 'open' then
    redis.call('ZADD', open, text(now + arg.keep_ms), arg.id)
    redis.call('PEXPIRE', open, text(arg.keep_ms * 8))
  else
    redis.call('ZREM', open, arg.id)
  end
  -- The janitor deletes it with its files long before; this is for when none runs.
  redis.call('PEXPIRE', key, text(arg.keep_ms * 8))
end

local function answer(state)
  return cjson.encode({answer = state, record = record()})
end

local function crowded()
  local open = open_of(arg.doc)
  redis.call('ZREMRANGEBYSCORE', open, '-inf', text(now))
  return arg.most and redis.call('ZCARD', open) >= arg.most
end

if step == 'create' then
  if redis.call('HEXISTS', key, 'doc') == 0 then
    if crowded() then return cjson.encode({answer = 'full', record = {}}) end
    if arg.quota_key then
      local left, reset = quota.read(prefix, arg.quota_key, arg.quota_jobs, now)
      if left == 0 then
        return cjson.encode({answer = 'day', wait = reset, record = {}})
      end
      quota.reserve(prefix, arg.quota_key, now, arg.id)
    end
    redis.call('HSET', key, 'doc', arg.doc, 'state', 'open', 'offset', '0', 'parts', '[]', 'rest', '',
      'fence', '0', 'token', '', 'etag', '', 'used', '')
    keep()
  end
  return answer('ok')
elseif step == 'expired' then
  return cjson.encode(redis.call('ZRANGEBYSCORE', all, '-inf', text(now), 'LIMIT', '0',
    text(arg.limit)))
elseif step == 'drop' then
  local doc = redis.call('HGET', key, 'doc')
  -- A job that an older version made of the upload has left the reservation as it was.
  local unused = not used()
  if unused then quota.release(prefix, arg.id) end
  -- An upload that an older version opened names the counter itself.
  local job = doc and unused and cjson.decode(doc).job
  if type(job) == 'table' and job.spent then quota.uncount(job.spent) end
  if doc then redis.call('ZREM', open_of(doc), arg.id) end
  redis.call('DEL', key)
  redis.call('ZREM', all, arg.id)
  return cjson.encode({answer = 'ok', record = {}})
end

if redis.call('HEXISTS', key, 'doc') == 0 then
  return cjson.encode({answer = 'gone', record = {}})
end
local state = redis.call('HGET', key, 'state')
local offset = tonumber(redis.call('HGET', key, 'offset'))

if step == 'get' then
  return answer('ok')
elseif step == 'use' then
  redis.call('HSET', key, 'used', '1')
  return answer('ok')
elseif step == 'close' then
  if state == 'open' then
    redis.call('HINCRBY', key, 'fence', 1)
    redis.call('HSET', key, 'state', 'complete', 'etag', arg.etag, 'rest', '')
    keep()
  end
  return answer('ok')
elseif step == 'take' then
  if state ~= 'open' or offset ~= arg.offset then return answer('offset') end
  if redis.call('HGET', key, 'token') ~= arg.token then
    redis.call('HINCRBY', key, 'fence', 1)
    redis.call('HSET', key, 'token', arg.token)
  end
  keep()
  return answer('ok')
elseif step == 'save' then
  if redis.call('HGET', key, 'fence') ~= text(arg.fence) then return answer('stale') end
  if offset == arg.to then return answer('ok') end
  if state ~= 'open' or offset ~= arg.from then return answer('stale') end
  local parts = redis.call('HGET', key, 'parts')
  if arg.parts ~= '[]' then
    local head = parts == '[]' and '[' or (string.sub(parts, 1, -2) .. ',')
    parts = head .. string.sub(arg.parts, 2)
  end
  redis.call('HSET', key, 'offset', text(arg.to), 'parts', parts, 'rest', arg.rest)
  keep()
  return answer('ok')
end
return redis.error_reply('unknown step ' .. step)
