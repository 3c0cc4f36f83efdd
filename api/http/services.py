"""What all views share, made once for an app."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request

from api.http.auth import Authenticator, enter
from api.http.links import Links
from api.http.long_poll import LongPollSlots
from common.access.keys import Keys, Scope
from common.access.principal import Principal
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

    def root(self) -> str:
        """Return the address of this API as the caller sees it, without a slash."""
        public = self.runtime.settings.api.public_url
        return (public or request.url_root).rstrip("/")

    def links(self) -> Links:
        """Return a builder of links that the caller of this request can follow."""
        return Links(self.root(), self.runtime.settings)
