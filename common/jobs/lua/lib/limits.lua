-- What there may be at once. arg: owner_cap?, total_cap?, crammed? (the memory of the
-- server is nearly full).

local function unfinished(suffix)
  return redis.call('ZCARD', P .. 'jobs:accepted' .. suffix)
    + redis.call('ZCARD', P .. 'jobs:processing' .. suffix)
end

-- How long the first task in a line of that owner has waited for a worker, in ms.
local function waited(owner)
  local longest = 0
  for _, queue in ipairs({'fast', 'slow'}) do
    local all = P .. 'queued:' .. queue
    local first = redis.call('ZRANGE', all .. ':' .. owner, '0', '0')[1]
    local due = first and redis.call('ZSCORE', all, first)
    if due then longest = math.max(longest, now - tonumber(due)) end
  end
  return longest
end

-- Answers {full} if one more job of that owner is too many, else nil.
local function crowded(owner)
  if arg.crammed then return {full = 'memory'} end
  if waited(owner) > cfg.most_wait_ms then return {full = 'wait'} end
  if arg.owner_cap and unfinished(':' .. owner) >= arg.owner_cap then
    return {full = 'owner'}
  end
  if arg.total_cap and unfinished('') >= arg.total_cap then return {full = 'total'} end
  return nil
end
