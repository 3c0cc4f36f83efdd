-- Keeps the list of manifests that differ from their record, each by the microsecond since
-- which it is to be stored. common/jobs/manifests.py stores them.
-- arg: call, op, and take: limit, ms; done: taken [[member, until]].
-- take answers {taken} [[member, until]], oldest first, and keeps them from other takers for
--   so many milliseconds. done strikes off what was stored; a member that was marked again
--   meanwhile, or that another took after too long, stays and is due at once.
local list = P .. 'manifests'

local function take()
  local due = redis.call(
    'ZRANGEBYSCORE', list, '-inf', text(instant), 'LIMIT', '0', text(arg.limit)
  )
  local taken, ends = {}, text(instant + arg.ms * 1000)
  for i, member in ipairs(due) do
    redis.call('ZADD', list, ends, member)
    taken[i] = {member, ends}
  end
  return {taken = taken}
end

local function done()
  for _, one in ipairs(arg.taken) do
    local score = redis.call('ZSCORE', list, one[1])
    if score and text(tonumber(score)) == one[2] then
      redis.call('ZREM', list, one[1])
    else
      redis.call('ZADD', list, text(instant), one[1])
    end
  end
  return {left = redis.call('ZCARD', list)}
end

return replay_safe(arg.op == 'take' and take or done)
