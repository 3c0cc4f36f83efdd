-- The daily quota of API keys: how many jobs each may submit on one UTC day. A library:
-- it stands before the scripts that put jobs and uploads on record, and before keys.lua,
-- so that all of them share one counter. `prefix` is the store's; `now` is Unix
-- milliseconds of the server's clock.
--
--   key:day:ID:DAY     string  jobs and reservations of key ID on that day (DAY counts
--                              from 1970); expires two days after the last of them
--   key:reserved:JOB   string  the counter that holds a place for job JOB, which is not
--                              on record yet; expires as the counter does
--
-- A blind repeat changes nothing: a job has one reservation, which is given back once.
local quota = {}
do
  local DAY_MS = 86400000
  local KEPT_MS = '172800000'

  local function counter_of(prefix, key_id, now)
    local day = string.format('%.0f', math.floor(now / DAY_MS))
    return prefix .. 'key:day:' .. key_id .. ':' .. day
  end

  local function reservation_of(prefix, job_id)
    return prefix .. 'key:reserved:' .. job_id
  end

  local function used(counter) return tonumber(redis.call('GET', counter) or '0') end

  -- Answers how many jobs of `most` the day has left, and the seconds until it ends.
  function quota.read(prefix, key_id, most, now)
    local left = math.max(0, most - used(counter_of(prefix, key_id, now)))
    return left, math.ceil((DAY_MS - now % DAY_MS) / 1000)
  end

  -- Counts a job that the same call puts on record; answers the counter.
  function quota.count(prefix, key_id, now)
    local counter = counter_of(prefix, key_id, now)
    redis.call('INCR', counter)
    redis.call('PEXPIRE', counter, KEPT_MS)
    return counter
  end

  -- Counts a job that is to come.
  function quota.reserve(prefix, key_id, now, job_id)
    local reservation = reservation_of(prefix, job_id)
    if redis.call('EXISTS', reservation) == 1 then return end
    redis.call('SET', reservation, quota.count(prefix, key_id, now), 'PX', KEPT_MS)
  end

  -- The job is on record: its place stays taken. Answers whether one was reserved.
  function quota.commit(prefix, job_id)
    return redis.call('DEL', reservation_of(prefix, job_id)) == 1
  end

  -- Gives a counted place back.
  function quota.uncount(counter)
    if used(counter) > 0 then redis.call('DECR', counter) end
  end

  -- No job comes: its place goes back to the day that it was taken from.
  function quota.release(prefix, job_id)
    local reservation = reservation_of(prefix, job_id)
    local counter = redis.call('GET', reservation)
    if not counter then return end
    redis.call('DEL', reservation)
    quota.uncount(counter)
  end
end
