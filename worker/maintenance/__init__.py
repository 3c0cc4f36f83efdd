"""Reaper and janitor, a process of its own: ``python -m worker.maintenance``."""
