"""What the path of a signed URL asks for: a source, and the spec of one picture."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from api.http.json_body import canonical
from api.http.validation import validate
from api.jobs.schemas import SourceRequest
from common.errors import Invalid
from common.jobs.store import Idempotency
from common.outputs.specs import OUTPUT_SPEC, OutputSpec, recorded

_SOURCE: TypeAdapter[SourceRequest] = TypeAdapter(SourceRequest)
_JOB = re.compile(r"[0-9a-f]{32}")
_SCALAR = re.compile(r"true|false|-?(0|[1-9][0-9]{0,15})([.][0-9]{1,15})?")
_MOVING = frozenset({"gif", "mp4", "webm"})
_KINDS = frozenset({"thumbnail", "animation", "preview", "contact_sheet"})
# The path has the format; a picture has one file and needs no name.
_NOT_HERE = frozenset({"name", "format", "formats", "count", "times", "widths"})
_DEFAULT = "default"


@dataclass(frozen=True)
class Requested:
    """One picture of a source. Two with the same ``digest`` are the same picture."""

    source: SourceRequest
    spec: OutputSpec
    digest: str

    def known(self, hours: float) -> Idempotency:
        """Return by what the job of the first request is found, for ``hours``."""
        return Idempotency(f"GET /v1/render {self.digest}", "", hours)


def read_path(segment: str, file: str) -> Requested:
    """Return what ``/v1/render/SEGMENT/FILE`` asks for; raises Invalid."""
    source = _read_source(segment)
    spec = _read_spec(file)
    document = canonical([source.model_dump(mode="json"), recorded(spec)])
    return Requested(source, spec, hashlib.sha256(document).hexdigest())


def _read_source(segment: str) -> SourceRequest:
    if _JOB.fullmatch(segment):
        return SourceRequest(job=segment)
    try:
        raw = segment + "=" * (-len(segment) % 4)
        text = urlsafe_b64decode(raw.encode("ascii")).decode()
    except (ValueError, binascii.Error) as error:
        raise Invalid.one(
            "/source",
            "the source in this path cannot be read",
            "it is s3://BUCKET/KEY or an https:// URL in base64url without padding, "
            "or the id of a job",
        ) from error
    if not text.startswith("s3://"):
        return validate(_SOURCE, {"url": text}, ("source",))
    bucket, _, key = text.removeprefix("s3://").partition("/")
    return validate(_SOURCE, {"s3": {"bucket": bucket, "key": key}}, ("source",))


def _read_spec(file: str) -> OutputSpec:
    words, _, extension = file.rpartition(".")
    fields: dict[str, Any] = {
        "kind": "animation" if extension in _MOVING else "thumbnail"
    }
    for word in words.split(",") if words != _DEFAULT else ():
        name, given, value = word.partition("=")
        if not given:
            raise Invalid.one(
                "/spec",
                f"{word[:80]!r} is not NAME=VALUE",
                f"separate fields by commas, or write {_DEFAULT} for none",
            )
        if name in _NOT_HERE:
            raise Invalid.one(
                f"/spec/{name}",
                "this field cannot be set here",
                "the path asks for one file, and its extension is the format",
            )
        fields[name] = _read_value(value)
    if fields["kind"] not in _KINDS:
        raise Invalid.one(
            "/spec/kind",
            f"{str(fields['kind'])[:80]!r} cannot be rendered on request",
            "one of " + ", ".join(sorted(_KINDS)),
        )
    return validate(OUTPUT_SPEC, fields | {"format": extension}, ("spec",))


def _read_value(text: str) -> Any:
    """Return a number or a truth value that JSON writes so, else the text."""
    return json.loads(text) if _SCALAR.fullmatch(text) else text
