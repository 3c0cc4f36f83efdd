"""``/v1/batches``: one request, many jobs."""
