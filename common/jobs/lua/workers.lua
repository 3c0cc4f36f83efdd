-- Keeps which workers are alive, and which part of the service a host misses.
-- arg: op, and alive: name, info; away: name (of a worker of that host), error; list.
-- list answers {workers = [{name, at, info}]}, the others {}.
if arg.op == 'away' then
  record_outage(host_of(arg.name), arg.error)
  return '{}'
end
if arg.op == 'alive' then
  redis.call('ZADD', P .. 'workers', text(now), arg.name)
  redis.call('HSET', P .. 'workers:info', arg.name, arg.info)
  for _, name in ipairs(redis.call(
    'ZRANGEBYSCORE', P .. 'workers', '-inf', text(now - cfg.alive_ms)
  )) do
    redis.call('ZREM', P .. 'workers', name)
    redis.call('HDEL', P .. 'workers:info', name)
  end
  return '{}'
end
local flat = redis.call(
  'ZRANGEBYSCORE', P .. 'workers', text(now - cfg.alive_ms), '+inf', 'WITHSCORES'
)
local alive = {}
for i = 1, #flat, 2 do
  alive[#alive + 1] = {
    name = flat[i], at = tonumber(flat[i + 1]),
    info = redis.call('HGET', P .. 'workers:info', flat[i]),
  }
end
return cjson.encode({workers = alive})
