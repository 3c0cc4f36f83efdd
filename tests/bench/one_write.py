"""The yardstick: a Flask view that does one write to Redis, or one read; no more."""

from __future__ import annotations

import os
import uuid

import redis
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
_client = redis.Redis.from_url(os.environ["FRAMEMILL_STORE_URL"])


@app.post("/v1/jobs")
def write() -> tuple[Response, int]:
    """Keep the body under a new name."""
    name = uuid.uuid4().hex
    _client.set(f"one:{name}", request.get_data())
    return jsonify(id=name), 202


@app.get("/v1/jobs/<name>")
def read(name: str) -> Response:
    """Return the body that was kept under a name."""
    return Response(_client.get(f"one:{name}"), mimetype="application/json")
