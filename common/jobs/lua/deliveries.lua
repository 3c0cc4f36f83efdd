-- Reads the log of deliveries. arg: op, and get: id; list: owner?, before?, limit.
-- Answers {id, task} or {gone}; {deliveries, next?}.
if arg.op == 'get' then
  local delivery = read_task(arg.id)
  if not delivery or delivery.f.role ~= 'notice' then return cjson.encode({gone = true}) end
  return cjson.encode({id = delivery.id, task = delivery.f})
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
