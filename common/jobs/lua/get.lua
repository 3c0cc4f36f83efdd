-- Reads one job. arg: id. Answers the record or {gone}.
local job = read_job(arg.id)
return cjson.encode(job and dump(job) or {gone = true})
