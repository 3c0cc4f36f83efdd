"""Every setting of the service: how it is read, its type, its bounds, its default."""
