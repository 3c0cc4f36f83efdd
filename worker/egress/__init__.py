"""The one door to addresses that callers give: URL sources and webhooks.

:mod:`worker.egress.policy` decides (pure), :mod:`worker.egress.client` connects.
A host name is resolved once; every address it has must be public, and the
connection goes to the address that was judged, so a second DNS answer cannot
change the target.
"""

from worker.egress.client import Answer, Downloaded, EgressClient
from worker.egress.policy import AddressRules, Target

__all__ = ["AddressRules", "Answer", "Downloaded", "EgressClient", "Target"]
