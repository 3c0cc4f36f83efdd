"""Translate the colour numbers of ITU-T H.273 into FFmpeg's words."""

from __future__ import annotations

from typing import Any, Literal

Hdr = Literal["hdr10", "hlg", "dolby_vision"]

PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
}
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    18: "arib-std-b67",
}
MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    15: "ipt-c2",
}
# The matrix of Dolby Vision profile 5, which has no picture that others can show.
NO_BASE_LAYER = "ipt-c2"
_BARE_PROFILE = 5
RANGES = {1: "limited", 2: "full"}


def describe(
    frame: dict[str, Any], tag: str | None, profile: int | None
) -> tuple[dict[str, str | None], Hdr | None]:
    """Return the words for a frame's colour numbers, and the kind of HDR.

    A word is None if the file does not say. ``tag`` is the stream's, ``profile`` that
    of Dolby Vision.
    """
    words = names(frame)
    if profile == _BARE_PROFILE or words["matrix"] == NO_BASE_LAYER:
        return words | {"matrix": NO_BASE_LAYER, "range": "full"}, "dolby_vision"
    return words, hdr(frame, tag)


def names(frame: dict[str, Any]) -> dict[str, str | None]:
    """Return the words for a frame's colour numbers; None if it does not say."""
    rgb = frame.get("rgb", False)
    return {
        "primaries": PRIMARIES.get(frame["primaries"]),
        "transfer": TRANSFERS.get(frame["transfer"]),
        "matrix": MATRICES.get(frame["space"]) if rgb or frame["space"] else None,
        "range": RANGES.get(frame["range"]),
    }


def hdr(frame: dict[str, Any], tag: str | None) -> Hdr | None:
    """Return the kind of HDR, by Dolby Vision's metadata or else by the transfer."""
    if "DOVI_METADATA" in frame["side_data"] or tag in ("dvh1", "dvhe", "dav1"):
        return "dolby_vision"
    transfer = TRANSFERS.get(frame["transfer"])
    if transfer == "smpte2084":
        return "hdr10"
    return "hlg" if transfer == "arib-std-b67" else None
