"""The HTTP server: gunicorn's threaded worker, which no slow client can hold."""

from api.server.worker import Worker

__all__ = ["Worker"]
