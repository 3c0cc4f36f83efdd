"""The work of each kind of task, one module a kind."""
