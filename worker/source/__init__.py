"""Fetch the bytes of a source to the host that works on it."""
