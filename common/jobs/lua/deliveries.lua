-- The log of deliveries. arg: op, owner?, before?, limit (list) | id (get).
if arg.op == 'get' then
  local notice = read_piece(arg.id)
  if not notice or notice.f.role ~= 'notice' then return cjson.encode({gone = true}) end
  return cjson.encode({id = notice.id, piece = notice.f})
end
local key = P .. 'notices' .. (arg.owner and ':' .. arg.owner or '')
local from = arg.before and '(' .. arg.before or '+'
local members =
  redis.call('ZREVRANGEBYLEX', key, from, '-', 'LIMIT', '0', text(arg.limit + 1))
local found = {}
for i = 1, math.min(#members, arg.limit) do
  local notice = read_piece(string.sub(members[i], 14))
  if notice then found[#found + 1] = {id = notice.id, piece = notice.f} end
end
local more = #members > arg.limit and members[arg.limit] or nil
return cjson.encode({notices = found, next = more})
