"""``/v1/uploads``: direct uploads by grants, and resumable ones by tus."""
