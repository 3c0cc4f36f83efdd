"""The reaper and the janitor, a process of its own: ``python -m worker.maintenance``."""
