-- How many jobs may be unfinished at once. arg: owner_cap?, total_cap?.

local function unfinished(suffix)
  return redis.call('ZCARD', P .. 'jobs:accepted' .. suffix)
    + redis.call('ZCARD', P .. 'jobs:processing' .. suffix)
end

-- Answers {full} if one more job of that owner is too many, else nil.
local function crowded(owner)
  if arg.owner_cap and unfinished(':' .. owner) >= arg.owner_cap then
    return {full = 'owner'}
  end
  if arg.total_cap and unfinished('') >= arg.total_cap then return {full = 'total'} end
  return nil
end
