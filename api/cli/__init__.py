"""The client of Framemill's HTTP API, and the command line.

Everything here uses the standard library alone: the wheel ``framemill`` is this folder
under that name, so ``from framemill import Client`` works without the server.
"""

from .client import Client
from .errors import Refused, Unreached
from .render_url import render_url

__all__ = ["Client", "Refused", "Unreached", "render_url"]
