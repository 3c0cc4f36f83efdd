"""``/v1/render``: images on request, by signed URLs."""
