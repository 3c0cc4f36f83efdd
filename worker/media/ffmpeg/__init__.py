"""Run FFmpeg: the program, its limits, plans, and the checks of its files."""
