"""Probe media files and render pictures from them; nothing here knows about jobs."""
