"""What a job's record keeps of its key's limits and of where its results go."""

from __future__ import annotations

from typing import Any

from api.jobs.schemas import FormRequest, S3Destination
from common.access.principal import Principal
from common.errors import Forbidden, Invalid
from common.model import Destination
from common.runtime import Runtime
from common.storage.names import as_path

# Where our own sources and results lie; nobody else writes there.
_OWN = frozenset({"in", "out"})


def job_options(
    runtime: Runtime, who: Principal, requested: FormRequest, base: str = ""
) -> dict[str, Any]:
    """Give the options of a new job; ``base`` is where ``asked`` lies in the body.

    Raises Invalid and Forbidden for a destination that is none or is not allowed.
    """
    options: dict[str, Any] = {
        "max_bytes": who.allowance.source_bytes,
        "max_seconds": who.allowance.source_seconds,
        "dedupe": requested.dedupe or None,
    }
    if requested.destination is not None:
        pointer = f"{base}/destination/s3"
        target = requested.destination.s3
        _check(runtime, who, target, pointer)
        options["destination"] = Destination(
            bucket=target.bucket,
            prefix=target.prefix.rstrip("/"),
            cache_control=target.cache_control,
            acl=target.acl,
            tags=target.tags,
        ).model_dump(mode="json")
    return {name: value for name, value in options.items() if value is not None}


def _check(
    runtime: Runtime, who: Principal, target: S3Destination, pointer: str
) -> None:
    settings = runtime.settings
    if settings.blobs.backend != "s3":
        raise Invalid.one(
            pointer,
            "this service keeps its files in a folder and reaches no bucket",
            "leave the destination out; the setting is FRAMEMILL_BLOBS_BACKEND",
        )
    first = as_path(target.prefix).split("/")[0]
    if target.bucket == settings.blobs.bucket and first in _OWN:
        raise Invalid.one(
            f"{pointer}/prefix",
            "'in' and 'out' of this bucket are the service's own",
            "name another prefix",
        )
    allowed = who.allowance.destinations
    if who.key_id is None:
        allowed = tuple(settings.blobs.destinations)
    place = f"{target.bucket}/{target.prefix.rstrip('/')}".rstrip("/") + "/"
    if not any(_covers(one, place) for one in allowed):
        raise Forbidden(
            "results may not be stored there",
            pointer=pointer,
            hint="the operator allows it: framemill keys limits ID --destination "
            "BUCKET/PREFIX/ (without keys: FRAMEMILL_BLOBS_DESTINATIONS)",
        )
    if not runtime.blobs.admits(place.partition("/")[2] + "x", bucket=target.bucket):
        raise Invalid.one(
            f"{pointer}/prefix",
            f"the storage cannot hold keys that begin with {target.prefix!r}",
            "segments parted by /, none of them empty or '.'",
        )


def _covers(allowed: str, place: str) -> bool:
    """Tell whether ``BUCKET`` or ``BUCKET/PREFIX`` begins a place that ends in /."""
    return place.startswith(allowed if "/" in allowed else f"{allowed}/")
