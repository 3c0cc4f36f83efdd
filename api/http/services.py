"""What all views share, made once for an app."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from flask import request
from werkzeug.sansio.utils import get_current_url

from api.http.auth import Authenticator, enter
from api.http.context import current
from api.http.links import Links
from api.http.long_poll import LongPollSlots
from common.access.keys import Keys, Scope
from common.access.principal import Principal
from common.errors import Forbidden, Unauthorized
from common.runtime import Runtime
from common.uploads import Uploads


@dataclass(frozen=True)
class Services:
    """The runtime, and what the HTTP side adds to it.

    ``keys`` is None on a service without API keys. ``long_polls``,
    ``event_streams`` and ``archives`` cap the requests that hold a thread.
    """

    runtime: Runtime
    authenticator: Authenticator
    keys: Keys | None
    uploads: Uploads
    long_polls: LongPollSlots
    event_streams: LongPollSlots
    archives: LongPollSlots

    def enter(self, scope: Scope) -> Principal:
        """Return the caller; raises Unauthorized, Forbidden or TooManyRequests."""
        return enter(self.authenticator, scope)

    def is_signed_in(self) -> bool:
        """Return whether the browser is signed in, or need not be.

        Raises Forbidden for what this service refuses to everybody, TooManyRequests.
        """
        try:
            self.enter("read")
        except Unauthorized:
            return False
        except Forbidden:
            # A key without the scope "read" is signed in, and may do little.
            if current().admission is None:
                raise
        return True

    def root(self) -> str:
        """Return the address of this API as the caller sees it, without a slash."""
        public = self.runtime.settings.api.public_url
        if public:
            return public.rstrip("/")
        return _root_url(request.scheme, request.host, request.root_path)

    def links(self) -> Links:
        """Return a builder of links that the caller of this request can follow."""
        return Links(self.root(), self.runtime.settings)


# A service has few names: the address is put together once for each of them.
@functools.lru_cache(maxsize=64)
def _root_url(scheme: str, host: str, root_path: str) -> str:
    return get_current_url(scheme, host, root_path).rstrip("/")
