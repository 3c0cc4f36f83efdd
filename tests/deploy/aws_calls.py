"""A server of S3 and SQS that notes which rights its callers' requests need.

Callers are told apart by their access keys, so a link that a part signed counts as a
call of that part.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest
from moto.moto_server import threaded_moto_server as server
from werkzeug.wrappers import Request, Response

from tests.e2e.context import KEYS, moto

_WHO = re.compile(r"(?:Credential=|X-Amz-Credential=)([\w-]+)(?:/|%2F)")
# After the service authorization reference of S3: what a request to an object, or to a
# bucket, asks for by its method and by what its query has.
_OBJECT = {
    ("GET", "uploadId"): "s3:ListMultipartUploadParts",
    ("GET", ""): "s3:GetObject",
    ("HEAD", ""): "s3:GetObject",
    ("PUT", ""): "s3:PutObject",
    ("PUT", "uploadId"): "s3:PutObject",
    ("POST", "uploads"): "s3:PutObject",
    ("POST", "uploadId"): "s3:PutObject",
    ("DELETE", "uploadId"): "s3:AbortMultipartUpload",
    ("DELETE", ""): "s3:DeleteObject",
}
_BUCKET = {
    ("HEAD", ""): "s3:ListBucket",
    ("GET", "list-type"): "s3:ListBucket",
    ("GET", "uploads"): "s3:ListBucketMultipartUploads",
}
# Deletes objects, though it is a request to their bucket.
_MANY = ("POST", "delete")
_MEANT = ("uploadId", "uploads", "list-type", "delete")

Needs = dict[str, set[str]]


class Recorder:
    """``needs`` are the rights by caller and resource: BUCKET, BUCKET/* or a queue.

    ``refuse`` may answer for the server: it gets the caller and the request.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.needs: dict[str, Needs] = defaultdict(lambda: defaultdict(set))
        self.refuse: Callable[[str, Request], bool] = lambda _who, _request: False

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        """Note a request and its answer; see WSGI."""
        found = _WHO.search(
            environ.get("HTTP_AUTHORIZATION", "") + environ["QUERY_STRING"]
        )
        who = found[1] if found else ""
        if who in {"", KEYS[0]}:  # the test's own
            return self._app(environ, start)
        if target := environ.get("HTTP_X_AMZ_TARGET"):
            self._note_queue(who, target, environ)
            return self._app(environ, start)
        request = Request(environ)
        if self.refuse(who, request):
            body = "<Error><Code>AccessDenied</Code></Error>"
            return Response(body, 403, mimetype="application/xml")(environ, start)

        def started(status: str, *more: Any) -> Any:
            self._note(who, request, status)
            return start(status, *more)

        return self._app(environ, started)

    def _note(self, who: str, request: Request, status: str) -> None:
        bucket, _, key = request.path.lstrip("/").partition("/")
        meant = [name for name in _MEANT if name in request.args]
        call = (request.method, meant[0] if meant else "")
        needs = self.needs[who]
        if call == _MANY:
            needs[f"{bucket}/*"].add("s3:DeleteObject")
        elif key:
            needs[f"{bucket}/*"].add(_OBJECT[call])
            # S3 answers 403 to callers who may not see that an object is missing.
            if status.startswith("404") and request.method in {"GET", "HEAD"}:
                needs[bucket].add("s3:ListBucket")
        else:
            needs[bucket].add(_BUCKET[call])
        headers = request.headers
        if source := headers.get("x-amz-copy-source"):
            place = unquote(source).lstrip("/").partition("/")[0]
            needs[f"{place}/*"].add("s3:GetObject")
        if "x-amz-tagging" in headers:
            needs[f"{bucket}/*"].add("s3:PutObjectTagging")

    def _note_queue(self, who: str, target: str, environ: dict[str, Any]) -> None:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        queue = json.loads(body).get("QueueUrl", "").rpartition("/")[2]
        self.needs[who][queue].add(f"sqs:{target.rpartition('.')[2]}")


@contextmanager
def recorded() -> Iterator[tuple[str, Recorder]]:
    """Run moto with our bucket; gives its endpoint and the recorder in front."""
    made = []

    def application(make: Any) -> Recorder:
        made.append(Recorder(plain(make)))
        return made[0]

    with pytest.MonkeyPatch.context() as patch:
        plain = server.DomainDispatcherApplication
        patch.setattr(server, "DomainDispatcherApplication", application)
        with moto() as endpoint:
            yield endpoint, made[0]
