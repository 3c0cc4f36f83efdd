"""Limit the processes that decode files."""
