"""``/v1/operations``: what those who run the service look at, and dead tasks again."""
