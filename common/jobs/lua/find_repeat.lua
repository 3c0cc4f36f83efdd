-- Finds what an earlier request was answered. arg: idem, fingerprint. Answers {job_id},
-- {mismatch}, or {new} for a request that none was like.
return cjson.encode(recall() or {new = true})
