-- Finds the job or batch that an earlier request with this Idempotency-Key made.
-- arg: idem, fingerprint. Answers {job_id}, {mismatch} or {new}.
return cjson.encode(recall() or {new = true})
