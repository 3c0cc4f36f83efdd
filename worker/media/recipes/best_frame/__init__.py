"""Which frame represents a video best."""
