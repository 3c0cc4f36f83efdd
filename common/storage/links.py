"""Signed links to a job's files, for documents and mails; they need no API key."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Sequence
from urllib.parse import quote

from common.errors import NotFound
from common.model import Artifact, OutputRecord
from common.settings.load import Settings
from common.storage.signing import check_seal, seal, sign

DAY_SECONDS = 86_400
_LINK_DAYS = 8
_WITH_SOURCE, _WITHOUT = "v", "p"
_SHARE = re.compile(r"([0-9a-f]{32})([vp])([0-9]{1,12}-[A-Za-z0-9_-]{43})")


def artifact_url(
    base: str,
    settings: Settings,
    job_id: str,
    output: OutputRecord,
    artifact: Artifact,
    until: int | None = None,
) -> str:
    """Return the link of an artifact: absolute, valid for a week, the same for a day.

    ``base`` is the address of this API as its callers see it. All files of an output
    share one folder, so a name inside an index works relative to the index's link.
    ``until`` (Unix seconds) ends the link earlier.
    """
    path = f"/v1/files/{job_id}/{output.name}/{edition(output)}"
    opens = seal(settings.api.secret, "file", path, _expiry(until))
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


def source_url(
    base: str, settings: Settings, job_id: str, until: int | None = None
) -> str:
    """Return the link of a job's kept source, served as an attachment."""
    path = f"/v1/files/{job_id}/source"
    end = _expiry(until)
    return base.rstrip("/") + sign(settings.api.secret, "file", path, end, {})


def share_token(settings: Settings, job_id: str, until: int, *, source: bool) -> str:
    """Return what opens one job to whoever has it, until a time in Unix seconds.

    With ``source`` it opens the job's video, too.
    """
    shown = f"{job_id}{_WITH_SOURCE if source else _WITHOUT}"
    return shown + seal(settings.api.secret, "share", f"/s/{shown}", until)


def read_share(settings: Settings, token: str) -> tuple[str, int, bool]:
    """Return the job, the end (Unix seconds) and whether the video is shown.

    Raises NotFound for what is no token, Forbidden for one that is not ours or has
    expired.
    """
    match = _SHARE.fullmatch(token)
    if match is None:
        raise NotFound("this is not the link of a shared job")
    job_id, kind, opens = match.groups()
    check_seal(settings.api.secret, "share", f"/s/{job_id}{kind}", opens)
    return job_id, int(opens.partition("-")[0]), kind == _WITH_SOURCE


def _expiry(until: int | None = None) -> int:
    # Rounded up to a UTC day, so that a document keeps its ETag until midnight.
    end = (int(time.time()) // DAY_SECONDS + _LINK_DAYS) * DAY_SECONDS
    return end if until is None else min(end, until)
