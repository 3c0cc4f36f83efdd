"""Redis: its clients, its errors, its scripts, its keys."""
