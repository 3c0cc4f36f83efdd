-- Reads one job. arg: id. Answers the job or {gone}.
local job = read_job(arg.id)
return cjson.encode(job and dump(job) or {gone = true})
