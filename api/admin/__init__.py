"""The operators' commands, which need the server's code, its settings and its store.

:mod:`api.cli` holds their options, and imports this package when one of them runs.
"""
