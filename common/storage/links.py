"""Signed links to a job's files, for documents and mails; they need no API key."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Sequence
from urllib.parse import quote

from common.model import Artifact, OutputRecord
from common.settings.load import Settings
from common.storage.signing import seal, sign

DAY_SECONDS = 86_400
_LINK_DAYS = 8


def artifact_url(
    base: str, settings: Settings, job_id: str, output: OutputRecord, artifact: Artifact
) -> str:
    """Return the link of an artifact: absolute, valid for a week, the same for a day.

    ``base`` is the address of this API as its callers see it. All files of an output
    share one folder, so a name inside an index works relative to the index's link.
    """
    path = f"/v1/files/{job_id}/{output.name}/{edition(output)}"
    opens = seal(settings.api.secret, "file", path, _expiry())
    return f"{base.rstrip('/')}{quote(f'{path}/{opens}/{artifact.name}')}"


def edition(output: OutputRecord) -> int:
    """Return the fence under which an output got its files, 0 where it has none.

    The files of parts are stored under their parts' fences (``out/JOB/OUTPUT/FENCE/``).
    The task that joins them comes last, so its fence is the greatest, and no earlier
    run of the output has it.
    """
    fences = (int(one.key.split("/")[3]) for one in output.artifacts)
    return max(fences, default=0)


def document_tag(base: str, settings: Settings, facts: Sequence[str | int]) -> str:
    """Return the ETag of a document that ``facts`` and its links determine."""
    shown = json.dumps([base, _expiry(), *facts]).encode()
    return hmac.digest(settings.api.secret.encode(), shown, "sha256").hex()[:32]


def source_url(base: str, settings: Settings, job_id: str) -> str:
    """Return the link of a job's kept source, served as an attachment."""
    path = f"/v1/files/{job_id}/source"
    return base.rstrip("/") + sign(settings.api.secret, "file", path, _expiry(), {})


def _expiry() -> int:
    # Rounded up to a UTC day, so that a document keeps its ETag until midnight.
    return (int(time.time()) // DAY_SECONDS + _LINK_DAYS) * DAY_SECONDS
