-- The pieces that were given up. arg: op, limit (list) | call, piece (redrive) |
-- call, piece? (purge: one, or all). redrive renews the counters; the fence goes on.

local function list()
  local found = {}
  local flat = redis.call(
    'ZREVRANGE', P .. 'dead', '0', text(arg.limit - 1), 'WITHSCORES'
  )
  for i = 1, #flat, 2 do
    local info = redis.call('HGET', P .. 'dead:info', flat[i])
    if info then
      found[#found + 1] = {piece = flat[i], at = tonumber(flat[i + 1]), info = info}
    end
  end
  return cjson.encode({dead = found})
end

-- A list of sources is let go when its batch fails; a prefix can be walked on.
local function resume(steward)
  if steward.f.state ~= 'failed' then return {none = steward.f.state} end
  local batch = read_batch(steward.f.job)
  if not batch then return {gone = true} end
  if batch.f.want == 'expand' then
    if batch.f.prefix == '' then return {none = batch.f.status} end
    set(batch, {closed = 0, short = 0, error = ''})
  end
  renew(steward)
  enqueue(steward, 0)
  derive_batch(batch)
  return outcome(true)
end

local function redrive()
  local piece = read_piece(arg.piece)
  if not piece then return {gone = true} end
  if piece.f.role == 'notice' then
    if not ENDED[piece.f.state] then return {none = piece.f.state} end
    redis.call('PERSIST', piece.key)
    redis.call(
      'ZREM', P .. 'chores', 'notice:' .. piece.f.order .. ':' .. piece.f.owner
    )
    renew(piece)
    enqueue(piece, 0)
    return outcome(true)
  end
  if piece.f.role == 'batch' then return resume(piece) end
  local job = read_job(piece.f.job)
  if not job then return {gone = true} end
  local output = output_of(piece)
  if reopen(job, output and output.f.name) == 0 then return {none = job.f.status} end
  return outcome(true, job)
end

local function purge()
  local ids = {arg.piece}
  if not arg.piece then ids = redis.call('ZRANGE', P .. 'dead', '0', '-1') end
  local removed = 0
  for _, id in ipairs(ids) do
    removed = removed + redis.call('ZREM', P .. 'dead', id)
    redis.call('HDEL', P .. 'dead:info', id)
  end
  return {removed = removed}
end

if arg.op == 'list' then return list() end
return once(arg.op == 'redrive' and redrive or purge)
