"""Animations that stay under ``max_bytes``."""
