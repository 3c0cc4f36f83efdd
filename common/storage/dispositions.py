"""Reads the file names that other programs send.

A name in ``Content-Disposition`` is for display only, so no name is a reason to refuse
the file. RFC 6266 and RFC 8187 define the header; what is read here beyond them is
what browsers, curl, Postman and old servers send.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

# A quotation mark ends the text only if the parameter ends there too: some clients do
# not escape the marks inside a name. Postman quotes after the charset.
_QUOTED = re.compile(
    r"""((?:[^;"']*'[^;"']*')?)"((?:\\["\\]|[^"]|"(?![ \t]*(?:;|$)))*)"?"""
)
_BARE = re.compile(r"[^;]*")
_ESCAPED = re.compile(r'\\(["\\])')
_EXTENDED = re.compile(r"([^']*)'[^']*'(.*)", re.DOTALL)
# What the HTML standard makes of the three characters that a header cannot hold.
_OF_FORMS = re.compile("%(?:22|0[aAdD])")
_CHARSETS = {
    "utf-8": "utf-8",
    "us-ascii": "utf-8",
    "iso-8859-1": "cp1252",  # as the WHATWG encoding standard reads that label
    "windows-1252": "cp1252",
}


def _one_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    raw = error.object[error.start : error.end]
    text = "".join(bytes([one]).decode("cp1252", "replace") for one in raw)
    return text, error.end


codecs.register_error("framemill.repair", _one_byte)


def repaired(raw: bytes) -> str:
    """Return bytes read as UTF-8; a byte that is no UTF-8 is read as Windows-1252."""
    return raw.decode("utf-8", "framemill.repair")


def url_name(path: str) -> str:
    """Return the last segment of a URL's path, without percent-encoding."""
    return repaired(unquote_to_bytes(path.rpartition("/")[2]))


def disposition_name(header: str) -> str | None:
    """Return the file name of a Content-Disposition, None if it has none.

    ``filename*`` goes before ``filename``, unless its charset is unknown and the other
    is there (RFC 6266, section 4.3). RFC 2231's continuations are joined.
    """
    found = dict(_parameters(header))
    plain = found.get("filename")
    if (extended := found.get("filename*")) is not None:
        name, is_sure = _extended(extended)
        return name if is_sure or plain is None else _of_form(plain)
    return _continued(found) if plain is None else _of_form(plain)


def _parameters(header: str) -> Iterator[tuple[str, str]]:
    at = header.find(";")
    while at >= 0 and (equals := header.find("=", at)) >= 0:
        name = header[at:equals].rpartition(";")[2]
        value, at = _value(header, equals + 1)
        yield name.strip().lower(), value
        at = header.find(";", at)


def _value(header: str, at: int) -> tuple[str, int]:
    at += len(header[at:]) - len(header[at:].lstrip())
    if quoted := _QUOTED.match(header, at):
        return quoted[1] + _ESCAPED.sub(r"\1", quoted[2]), quoted.end()
    text = header[at:].partition(";")[0]
    return text.strip(), at + len(text)


def _of_form(text: str) -> str:
    return _OF_FORMS.sub(lambda one: '"' if one[0] == "%22" else "", text)


def _extended(value: str) -> tuple[str, bool]:
    """Return a ``filename*``, and whether its charset is one that is known."""
    parts = _EXTENDED.fullmatch(value)
    label, text = (parts[1].strip().lower(), parts[2]) if parts else ("utf-8", value)
    raw = unquote_to_bytes(text)
    charset = _CHARSETS.get(label)
    if charset == "cp1252":
        return raw.decode(charset, "replace"), True
    return repaired(raw), charset is not None


def _continued(found: dict[str, str]) -> str | None:
    text = ""
    for number in range(len(found)):
        if (part := found.get(f"filename*{number}*")) is not None:
            text += _extended(part)[0]
        elif (part := found.get(f"filename*{number}")) is not None:
            text += part
        else:
            break
    return text or None
