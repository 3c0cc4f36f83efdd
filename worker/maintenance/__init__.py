"""The reaper and the janitor, in their own process."""
