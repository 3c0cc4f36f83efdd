"""The acceptance suite: a running service, asked as a client asks."""
