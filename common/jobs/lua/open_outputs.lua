-- Ends a prepare task and queues the job's outputs, or the parts of an output.
-- arg: call, task, token, fence, media, source, source_key?, reading?,
--   warnings, openings [{name, queue?, error? (fails the output at once), parts [text]}].
-- Answers an outcome.

local function open_output(job, output, opening)
  drop_parts(output)
  if opening.queue then set(output, {queue = opening.queue}) end
  if opening.error then
    count_failure(opening.error)
    return end_output(job, output, 'failed', opening.error)
  end
  if #opening.parts == 0 then return enqueue(output, 0) end
  set(output, {nparts = #opening.parts})
  for i, part_spec in ipairs(opening.parts) do
    local part = make_task(part_id(output, i - 1), {
      role = 'part', kind = 'render', queue = output.f.queue, job = job.id,
      owner = job.f.owner, parent = output.id, part = i - 1, part_spec = part_spec,
    })
    enqueue(part, 0)
  end
end

return replay_safe(function()
  local job, refused = end_prepare()
  if not job then return refused end
  set(job, {warnings = splice('[]', arg.warnings)})
  event(job, 'job.probed')
  for _, opening in ipairs(arg.openings) do
    local output = read_task(output_id(job, opening.name))
    if output and output.f.state == 'waiting' then open_output(job, output, opening) end
  end
  return outcome(true, job)
end)
