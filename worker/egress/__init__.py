"""Requests to addresses that callers choose: URL sources and webhooks.

:mod:`common.addresses` decides (pure), :mod:`worker.egress.client` connects.
A host name is resolved once and all its addresses must be public. The connection goes
to a checked address, so a second DNS answer cannot change the target.
"""

from worker.egress.client import Answer, Downloaded, EgressClient, Pin, Remote
from worker.egress.expiry import expires_at

__all__ = ["Answer", "Downloaded", "EgressClient", "Pin", "Remote", "expires_at"]
