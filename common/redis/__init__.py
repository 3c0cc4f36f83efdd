"""Redis: the client, the server that it needs, errors, scripts and keys."""
