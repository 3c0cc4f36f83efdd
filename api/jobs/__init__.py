"""``/v1/jobs``: submit, read, list, cancel, retry, delete, follow."""
