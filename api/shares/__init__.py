"""``/s/TOKEN``: one job, shown to people without an API key until the link expires."""
