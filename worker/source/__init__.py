"""Fetch the bytes of a source to the host that works on it, as few as the work reads.

:mod:`worker.source.cache` is the entry; it decides how a source is read.
:mod:`worker.source.copies` keeps the copies, :mod:`worker.source.sparse_copy` fills
one, :mod:`worker.source.block_map` records what of it is there,
:mod:`worker.source.origin` reads from where it comes.
"""
