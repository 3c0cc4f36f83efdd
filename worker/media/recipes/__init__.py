"""Turn a spec and the facts of a source into plans; nothing here does I/O."""
