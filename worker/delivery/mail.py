"""Write and send e-mails: text and HTML, with the thumbnail inline, by SMTP."""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from common.errors import ReceiverError, ReceiverGone, SourceError, Unreachable
from common.model import Artifact, BatchRecord, Event, JobRecord, OutputRecord
from common.settings.load import Settings
from common.settings.sections import Smtp
from common.storage.links import DAY_SECONDS, artifact_url, share_token
from common.storage.port import BlobStore

MAX_PICTURE_BYTES = 1_000_000
# In order of preference: some mail programs do not show the last one.
_PICTURES = {
    "image/jpeg": "jpeg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
}
# An output with many files (snippets) has links to the first ones only.
_FILES_SHOWN = 4
_ADDRESS = re.compile(r"[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]{1,255}", re.ASCII)
_PAGE = Path(__file__).with_name("mail.html")
_HTML = Template(_PAGE.read_text("utf-8"))
# Short, because a long Content-ID is folded, and some programs then lose the picture.
_CID = "thumbnail@framemill"
_PICTURE = (
    f'<img src="cid:{_CID}" alt="Thumbnail" width="{{width}}" style="display:block;'
    'width:100%;max-width:{width}px;height:auto;border:0;border-radius:6px">'
)
_CELL = "padding:8px 12px 8px 0;border-top:1px solid #e3e6ea;vertical-align:top"
_ROW = (
    f'<tr><td width="34%" style="{_CELL};overflow-wrap:anywhere"><b>{{name}}</b>'
    "{kind}</td>"
    f'<td style="{_CELL};color:{{colour}};white-space:nowrap">{{status}}</td>'
    f'<td style="{_CELL}">{{files}}</td></tr>'
)
_KIND = '<br><span style="color:#667078">{kind}</span>'
_COUNTS = '<p style="margin:0">{text}</p>'
_COLOURS = {"succeeded": "#1a7f37", "failed": "#b42318"}
_ERROR = (
    '<p style="margin:0 0 16px;padding:10px 12px;background:#fdecea;color:#8c1d18;'
    'border-radius:6px">{text}</p>'
)
_LINK = '<a href="{url}" style="color:#0b57d0">{text}</a>'
_OPEN = (
    '<p style="margin:20px 0 0"><a href="{url}" style="display:inline-block;'
    "padding:10px 18px;background:#0b57d0;color:#ffffff;border-radius:6px;"
    'text-decoration:none">See this job on its page</a></p>'
)
_WEEK_SECONDS = 7 * DAY_SECONDS
_WIDTH = 552  # of the mail's column
_HEADERS = {
    "job.completed": "Your video is ready",
    "job.partial": "Your video is ready in part",
    "job.failed": "Your video could not be processed",
    "job.cancelled": "Your job was cancelled",
    "batch.completed": "Your videos are ready",
    "batch.partial": "Your videos are ready in part",
    "batch.failed": "Your videos could not be processed",
    "batch.cancelled": "Your batch was cancelled",
}


@dataclass(frozen=True)
class Picture:
    """An inline picture; ``width`` is in pixels, None if unknown."""

    data: bytes
    subtype: str
    width: int | None = None


@dataclass(frozen=True)
class Letter:
    """The content of a mail.

    ``page`` is a link to the job's page, in place of ``link`` to its document; it and
    ``files`` are empty without a public URL. ``files`` maps the artifacts' keys to
    links that need no API key; ``picture`` is the thumbnail.
    """

    to: str
    message: str
    event: Event
    job_id: str
    job: JobRecord | None
    link: str
    batch: BatchRecord | None = None
    page: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None


def link_files(settings: Settings, job: JobRecord | None) -> dict[str, str]:
    """Return a link to each file of a job, by its key; empty without a public URL."""
    root = settings.api.public_url
    if not root or job is None:
        return {}
    return {
        artifact.key: artifact_url(root, settings, job.id, output, artifact)
        for output in job.outputs
        for artifact in output.artifacts
    }


def link_page(settings: Settings, job: JobRecord | None) -> str:
    """Return a link to the job's page that works for a week; "" without a public URL.

    It needs no key and shows this job alone, without its video.
    """
    root = settings.api.public_url
    if not root or job is None:
        return ""
    until = int(time.time()) + _WEEK_SECONDS
    token = share_token(settings, job.id, until, source=False)
    return f"{root.rstrip('/')}/s/{token}"


def pick_picture(job: JobRecord | None, blobs: BlobStore) -> Picture | None:
    """Read the job's thumbnail, or else another small picture; None without one.

    Raises StorageUnavailable, so that the mail is sent later with its picture.
    """
    for artifact in _candidates(job):
        try:
            data = b"".join(blobs.read(artifact.key))
        except SourceError:
            continue  # deleted meanwhile
        return Picture(data, _PICTURES[artifact.content_type], artifact.width)
    return None


def _candidates(job: JobRecord | None) -> list[Artifact]:
    """List the pictures: best supported formats first, then thumbnails first."""
    kinds = list(_PICTURES)
    found = [
        (kinds.index(artifact.content_type) == len(kinds) - 1, output.kind, artifact)
        for output in ([] if job is None else job.outputs)
        for artifact in output.artifacts
        if artifact.content_type in kinds and artifact.bytes <= MAX_PICTURE_BYTES
    ]
    found.sort(key=lambda one: (one[0], one[1] != "thumbnail"))
    return [artifact for _, _, artifact in found]


def compose(letter: Letter, sender: str) -> EmailMessage:
    """Write the mail; raises ReceiverGone if the address is malformed."""
    if not _ADDRESS.fullmatch(letter.to):
        raise ReceiverGone("the subscription's `to` is not an e-mail address")
    header = _header(letter)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, letter.to, header
    mail["Date"] = formatdate(usegmt=True)
    # The same on every attempt, so that mail programs hide repetitions.
    mail["Message-ID"] = f"<{letter.message}@framemill>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(letter, header))
    mail.add_alternative(_page(letter, header), subtype="html")
    if letter.picture is not None:
        picture = letter.picture
        page = mail.get_payload()[1]  # type: ignore[index]
        page.add_related(  # type: ignore[union-attr]
            picture.data,
            "image",
            picture.subtype,
            cid=f"<{_CID}>",
            disposition="inline",
            filename=f"thumbnail.{picture.subtype}",
        )
    return mail


def _header(letter: Letter) -> str:
    header = _HEADERS.get(letter.event.type, f"News of your job: {_what(letter)}")
    name = letter.job and letter.job.source.name
    return f"{header}: {_plain(name)}" if name else header


def _what(letter: Letter) -> str:
    return " ".join(filter(None, [letter.event.type, letter.event.output]))


def _kind(letter: Letter) -> str:
    return "Batch" if letter.event.type.startswith("batch.") else "Job"


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:120]


def _text(letter: Letter, header: str) -> str:
    lines = [header, "", f"{_kind(letter)} {letter.job_id}: {_what(letter)}"]
    if letter.job is not None:
        for one in letter.job.outputs:
            lines += [f"  {one.name} ({one.kind}): {one.status}"]
            lines += [f"    {link}" for _, link in _linked(letter, one) if link]
    lines += [f"  {line}" for line in _counted(letter.batch)]
    if reason := _reason(letter):
        lines += ["", reason]
    place = letter.page or letter.link
    return "\n".join([*lines, "", *_footer(letter), place, ""])


def _page(letter: Letter, header: str) -> str:
    outputs = letter.job.outputs if letter.job else []
    error = _reason(letter)
    counts = "<br>".join(escape(line) for line in _counted(letter.batch))
    return _HTML.substitute(
        header=escape(header),
        what=escape(_what(letter)),
        kind=_kind(letter),
        job=escape(letter.job_id),
        picture=_shown(letter.picture),
        counts=_COUNTS.format(text=counts) if counts else "",
        error=_ERROR.format(text=escape(error)) if error else "",
        rows="".join(_row(letter, output) for output in outputs),
        footer="".join(f"{escape(line)}<br>" for line in _footer(letter)),
        open=_OPEN.format(url=escape(letter.page)) if letter.page else "",
        link="" if letter.page else _anchor(letter.link, letter.link),
    )


def _reason(letter: Letter) -> str:
    record = letter.job or letter.batch
    return record.error.detail if record and record.error else ""


def _counted(batch: BatchRecord | None) -> list[str]:
    """List how many jobs of a batch have each status."""
    counts = {} if batch is None else batch.counts
    return [f"{count} {name}" for name, count in counts.items() if count]


def _shown(picture: Picture | None) -> str:
    if picture is None:
        return ""
    return _PICTURE.format(width=min(picture.width or _WIDTH, _WIDTH))


def _row(letter: Letter, output: OutputRecord) -> str:
    files = [_anchor(link, name) for name, link in _linked(letter, output)]
    # The error of the whole job is shown once, above.
    if output.error is not None and output.error != (letter.job and letter.job.error):
        files.append(escape(output.error.detail))
    kind = output.kind.replace("_", " ")
    return _ROW.format(
        name=escape(output.name),
        kind=_KIND.format(kind=escape(kind)) if kind != output.name else "",
        status=output.status,
        colour=_COLOURS.get(output.status, "inherit"),
        files="<br>".join(files),
    )


def _linked(letter: Letter, output: OutputRecord) -> list[tuple[str, str]]:
    """List an output's first files as pairs of name and link, "" without a link."""
    files = [
        (f"{one.name} ({_size(one.bytes)})", letter.files.get(one.key, ""))
        for one in output.artifacts[:_FILES_SHOWN]
    ]
    more = len(output.artifacts) - len(files)
    return [*files, (f"and {more} more", "")] if more > 0 else files


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _footer(letter: Letter) -> list[str]:
    return ["The links work for a week."] if letter.files or letter.page else []


def _anchor(url: str, text: str) -> str:
    if not url.startswith(("http://", "https://")):
        return escape(text)
    return _LINK.format(url=escape(url), text=escape(text))


def send(settings: Smtp, mail: EmailMessage) -> dict[str, Any]:
    """Send the mail and return the result for the delivery log.

    Raises ReceiverGone (no server set, or it refuses the recipient for good),
    ReceiverError (any other refusal), Unreachable.
    """
    if settings.host is None:
        raise ReceiverGone("no mail server is set (FRAMEMILL_SMTP_HOST)")
    try:
        with _connect(settings, settings.host) as server:
            if settings.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.username:
                server.login(settings.username, settings.password or "")
            server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        code = max(status for status, _ in error.recipients.values())
        refused = f"the mail server refused the recipient ({code})"
        if code >= 500:
            raise ReceiverGone(refused) from error
        raise ReceiverError(refused) from error
    except smtplib.SMTPResponseException as error:
        raise ReceiverError(f"the mail server answered {error.smtp_code}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise Unreachable(
            f"the mail server cannot be reached: {type(error).__name__}"
        ) from error
    return {"status": 250}


def _connect(settings: Smtp, host: str) -> smtplib.SMTP:
    seconds = settings.timeout_seconds
    if settings.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, settings.port, timeout=seconds, context=context)
    return smtplib.SMTP(host, settings.port, timeout=seconds)
