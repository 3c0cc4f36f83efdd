-- Reads those jobs of an index, newest first, whose name or id contains all words.
-- arg: index and names (keys without the prefix), words, before?, limit, look: the most
--   jobs to look at. Answers {jobs, next?, looked}; with next there may be more.
local from = arg.before and '(' .. arg.before or '+'
local members = redis.call(
  'ZREVRANGEBYLEX', P .. arg.index, from, '-', 'LIMIT', '0', text(arg.look)
)
local ids = {}
for i, member in ipairs(members) do ids[i] = string.sub(member, 14) end
local names = #ids > 0 and redis.call('HMGET', P .. arg.names, unpack(ids)) or {}

local function matches(id, name)
  for _, word in ipairs(arg.words) do
    local found = string.find(id, word, 1, true)
      or name and string.find(name, word, 1, true)
    if not found then return false end
  end
  return true
end

local jobs, last = {}, #members
for i, id in ipairs(ids) do
  if matches(id, names[i]) then
    local job = read_job(id)
    local record = job and dump(job)
    if record then jobs[#jobs + 1] = record end
    if #jobs == arg.limit then
      last = i
      break
    end
  end
end
local more = last < #members or #members == arg.look
return cjson.encode({jobs = jobs, next = more and members[last] or nil, looked = last})
