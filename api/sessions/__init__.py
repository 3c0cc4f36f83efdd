"""``/session``: a browser signs in with an API key, and out."""
