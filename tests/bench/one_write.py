"""The yardstick: a Flask view that does one write to Redis, and nothing else."""

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
