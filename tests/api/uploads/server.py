"""A WSGI application that does with a POST what the upload of a job does first."""

from __future__ import annotations

import json
import os

from flask import Flask, Response, request

from api.http import problems as errors
from api.http.multipart import receive
from common.settings.load import Settings
from common.storage import connect

settings = Settings.load()
store = connect(settings)
app = Flask(__name__)
errors.register(app)


@app.get("/pid")
def pid() -> Response:
    return Response(str(os.getpid()))


@app.post("/upload")
def upload() -> Response:
    form = receive(
        request.stream,
        request.content_type or "",
        open_writer=lambda kind: store.writer("in/test/source", content_type=kind),
        known=("outputs",),
        limits=settings.limits,
    )
    file = form.file
    assert file is not None
    answer = {"size": file.blob.size, "sha256": file.sha256, "fields": form.fields}
    return Response(json.dumps(answer), mimetype="application/json")
