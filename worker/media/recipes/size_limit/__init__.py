"""Make animations that stay under ``max_bytes``."""
