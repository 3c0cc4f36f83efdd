"""Turns one file into files."""
