-- Reads jobs, newest first; one whose record has just expired is left out.
-- arg: index (its key without the prefix), before?, limit. Answers {jobs, next?}.
local from = arg.before and '(' .. arg.before or '+'
local members = redis.call(
  'ZREVRANGEBYLEX', P .. arg.index, from, '-', 'LIMIT', '0',
  text(arg.limit + 1)
)
local jobs = {}
for i = 1, math.min(#members, arg.limit) do
  local job = read_job(string.sub(members[i], 14))
  local record = job and dump(job)
  if record then jobs[#jobs + 1] = record end
end
local more = #members > arg.limit and members[arg.limit] or nil
return cjson.encode({jobs = jobs, next = more})
