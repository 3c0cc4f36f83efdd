"""The one door to addresses that callers give: URL sources and webhooks.

:mod:`worker.egress.addresses` decides (pure), :mod:`worker.egress.door` connects.
A host name is resolved once; every address it has must be public, and the
connection goes to the address that was judged, so a second DNS answer cannot
change the target.
"""

from worker.egress.addresses import AddressRules, Target
from worker.egress.door import Answer, Door, Downloaded

__all__ = ["AddressRules", "Answer", "Door", "Downloaded", "Target"]
