"""Runs of FFmpeg: the program, its limits, its plans, the check of its files."""
