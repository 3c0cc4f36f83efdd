"""Share code between recipes."""
