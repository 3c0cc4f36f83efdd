"""E-mail notices: text and HTML, the thumbnail shown inline, sent by SMTP."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from common.blobs.base import BlobStore
from common.errors import ReceiverError, ReceiverGone, SourceError, Unreachable
from common.model import Artifact, Event, JobRecord
from common.sections import Smtp

MAX_PICTURE_BYTES = 1_000_000
_PICTURES = {"image/jpeg": "jpeg", "image/png": "png", "image/gif": "gif"}
_ADDRESS = re.compile(r"[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]{1,255}", re.ASCII)
_PAGE = Path(__file__).parent.parent / "assets" / "mail.html"
_HTML = Template(_PAGE.read_text("utf-8"))
# Short: a long Content-ID is folded, and some mail programs then miss the picture.
_CID = "thumbnail@framemill"
_PICTURE = (
    f'<p><img src="cid:{_CID}" alt="Thumbnail" style="max-width:100%;border:0"></p>'
)
_ROW = "<tr><td>{name}</td><td>{kind}</td><td>{status}</td></tr>"
_HEADLINES = {
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
class Letter:
    """All that a mail tells. ``picture`` is the thumbnail, with its subtype."""

    to: str
    message: str
    event: Event
    job_id: str
    job: JobRecord | None
    link: str
    picture: tuple[bytes, str] | None = None


def pick_picture(job: JobRecord | None, blobs: BlobStore) -> tuple[bytes, str] | None:
    """Read the job's thumbnail, or another small picture; None without one.

    Raises StorageUnavailable, so that the mail is tried again with its picture.
    """
    for artifact in _candidates(job):
        try:
            data = b"".join(blobs.read(artifact.key))
        except SourceError:
            continue  # deleted meanwhile
        return data, _PICTURES[artifact.content_type]
    return None


def _candidates(job: JobRecord | None) -> Iterable[Artifact]:
    outputs = [] if job is None else job.outputs
    for output in sorted(outputs, key=lambda one: one.kind != "thumbnail"):
        for artifact in output.artifacts:
            fits = artifact.bytes <= MAX_PICTURE_BYTES
            if fits and artifact.content_type in _PICTURES:
                yield artifact


def compose(letter: Letter, sender: str) -> EmailMessage:
    """Write the mail; raises ReceiverGone for an address that cannot be one."""
    if not _ADDRESS.fullmatch(letter.to):
        raise ReceiverGone("the subscription's address is not an e-mail address")
    headline = _headline(letter)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, letter.to, headline
    mail["Date"] = formatdate(usegmt=True)
    # The same on every attempt, so that mail programs fold repetitions.
    mail["Message-ID"] = f"<{letter.message}@framemill>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_text(letter, headline))
    mail.add_alternative(_page(letter, headline), subtype="html")
    if letter.picture is not None:
        data, subtype = letter.picture
        page = mail.get_payload()[1]  # type: ignore[index]
        page.add_related(  # type: ignore[union-attr]
            data,
            "image",
            subtype,
            cid=f"<{_CID}>",
            disposition="inline",
            filename=f"thumbnail.{subtype}",
        )
    return mail


def _headline(letter: Letter) -> str:
    headline = _HEADLINES.get(letter.event.type, f"News of your job: {_what(letter)}")
    name = letter.job and letter.job.source.name
    return f"{headline}: {_plain(name)}" if name else headline


def _what(letter: Letter) -> str:
    return " ".join(filter(None, [letter.event.type, letter.event.output]))


def _kind(letter: Letter) -> str:
    return "Batch" if letter.event.type.startswith("batch.") else "Job"


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:120]


def _text(letter: Letter, headline: str) -> str:
    lines = [headline, "", f"{_kind(letter)} {letter.job_id}: {_what(letter)}"]
    if letter.job is not None:
        lines += [
            f"  {one.name} ({one.kind}): {one.status}" for one in letter.job.outputs
        ]
        if letter.job.error is not None:
            lines += ["", letter.job.error.detail]
    return "\n".join([*lines, "", letter.link, ""])


def _page(letter: Letter, headline: str) -> str:
    outputs = letter.job.outputs if letter.job else []
    error = letter.job.error.detail if letter.job and letter.job.error else ""
    link = escape(letter.link)
    followed = letter.link.startswith(("http://", "https://"))
    return _HTML.substitute(
        headline=escape(headline),
        what=escape(_what(letter)),
        kind=_kind(letter),
        job=escape(letter.job_id),
        picture=_PICTURE if letter.picture else "",
        error=f"<p>{escape(error)}</p>" if error else "",
        rows="".join(
            _ROW.format(name=escape(o.name), kind=escape(o.kind), status=o.status)
            for o in outputs
        ),
        link=f'<a href="{link}">{link}</a>' if followed else link,
    )


def send(settings: Smtp, mail: EmailMessage) -> dict[str, Any]:
    """Hand the mail to the server; give what the log keeps.

    Raises ReceiverGone (no server set, or it refuses the recipient for good),
    ReceiverError (any other refusal), Unreachable.
    """
    if settings.host is None:
        raise ReceiverGone("e-mail is not set up (FRAMEMILL_SMTP_HOST)")
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
        raise Unreachable(f"mail server: {type(error).__name__}") from error
    return {"status": 250}


def _connect(settings: Smtp, host: str) -> smtplib.SMTP:
    seconds = settings.timeout_seconds
    if settings.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, settings.port, timeout=seconds, context=context)
    return smtplib.SMTP(host, settings.port, timeout=seconds)
