-- Reads the log of deliveries. arg: op, and get: id; list: owner?, before?, limit; of_job:
--   job (or batch), owner, before?, limit.
-- Answers {id, task} or {gone}; {deliveries, next?}.
if arg.op == 'get' then
  local delivery = read_task(arg.id)
  if not delivery or delivery.f.role ~= 'notice' then return cjson.encode({gone = true}) end
  return cjson.encode({id = delivery.id, task = delivery.f})
end
if arg.op == 'of_job' then
  local holder = read_job(arg.job) or read('batch', arg.job)
  if not holder or holder.f.owner ~= arg.owner then holder = {f = {}} end
  local first = arg.before and string.match(arg.before, ':n:(%d+)$')
  local last, found = nil, {}
  for n = first and first - 1 or number(holder, 'notices'), 1, -1 do
    local delivery = read_task(arg.job .. ':n:' .. text(n))
    if delivery and #found == arg.limit then
      return cjson.encode({deliveries = found, next = last})
    elseif delivery then
      last = delivery.f.order
      found[#found + 1] = {id = delivery.id, task = delivery.f}
    end
  end
  return cjson.encode({deliveries = found})
end
local key = P .. 'notices' .. (arg.owner and ':' .. arg.owner or '')
local from = arg.before and '(' .. arg.before or '+'
local members =
  redis.call('ZREVRANGEBYLEX', key, from, '-', 'LIMIT', '0', text(arg.limit + 1))
local found = {}
for i = 1, math.min(#members, arg.limit) do
  local delivery = read_task(string.sub(members[i], 14))
  if delivery then found[#found + 1] = {id = delivery.id, task = delivery.f} end
end
local more = #members > arg.limit and members[arg.limit] or nil
return cjson.encode({deliveries = found, next = more})
