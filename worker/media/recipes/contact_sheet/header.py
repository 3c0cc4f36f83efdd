"""Write what a contact sheet says of its video: name, length, size, codec."""

from __future__ import annotations

import unicodedata

from worker.media.ffmpeg.clip import Clip

# Videos shorter than this many seconds have times with tenths.
_TENTHS = 60.0
# Times in units such as 1/90000 s may be a rounding error too early.
_ALMOST = 0.0005
_HDR = {"hdr10": "HDR10", "hlg": "HLG", "dolby_vision": "Dolby Vision"}
_WIDE = 1.7
# The font has no pictographs, and would draw boxes.
_EMOJI = range(0x1F000, 0x1FB00)
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_CODECS = {
    "h264": "H.264",
    "hevc": "HEVC",
    "av1": "AV1",
    "vp8": "VP8",
    "vp9": "VP9",
    "mpeg2video": "MPEG-2",
    "mpeg4": "MPEG-4",
    "prores": "ProRes",
    "aac": "AAC",
    "mp3": "MP3",
    "opus": "Opus",
    "ac3": "AC-3",
    "eac3": "E-AC-3",
    "flac": "FLAC",
    "vorbis": "Vorbis",
}


def decimals(end: float | None) -> int:
    """Return how many decimals the times of a video of that length have."""
    return 1 if (end or 0.0) < _TENTHS else 0


def length(seconds: float, decimals: int = 0) -> str:
    """Return a time as people write it: ``H:MM:SS``, or ``M:SS``, ``M:SS.t``.

    Decimals are rounded. Whole seconds are cut, as on the clock of a player.
    """
    more = 0.5 if decimals else _ALMOST
    whole, part = divmod(int(seconds * 10**decimals + more), 10**decimals)
    text = f"{whole // 60 % 60}:{whole % 60:02d}"
    if whole >= 3600:
        text = f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{part:0{decimals}d}" if decimals else text


def size(count: int) -> str:
    """Return a number of bytes as people write it."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def clean(title: str, letters: int) -> str:
    """Return a name on one line of at most that breadth, shortened in its middle.

    Emoji and characters that control the direction of text are removed.
    """
    kept = (
        " " if letter.isspace() else letter
        for letter in unicodedata.normalize("NFC", title)
        if letter.isspace() or _is_drawn(letter)
    )
    text = " ".join("".join(kept).split())
    if breadth(text) <= letters:
        return text
    tail = ""
    while breadth(text[-len(tail) - 1 :]) <= letters / 3:
        tail = text[-len(tail) - 1 :]
    head = text[: -len(tail)]
    while head and breadth(f"{head}\u2026{tail}") > letters:
        head = head[:-1]
    return f"{head}\u2026{tail}"


def _is_drawn(letter: str) -> bool:
    return unicodedata.category(letter)[0] != "C" and ord(letter) not in _EMOJI


def breadth(text: str) -> float:
    """Return the width of a text in Latin letters, each about 0.6 of its height.

    Chinese, Japanese and Korean characters are as wide as high; combining marks have no
    width.
    """
    return sum(
        _WIDE
        if unicodedata.east_asian_width(letter) in "WF"
        else not unicodedata.combining(letter)
        for letter in text
    )


def lines(clip: Clip, letters: int) -> tuple[str, str]:
    """Return the title, which may be empty, and the line of facts under it."""
    media, video = clip.media, clip.video
    facts = []
    if clip.end is not None:
        places = decimals(clip.end)
        facts.append(length(round(clip.end, places), places))
    facts.append(f"{video.width}\u00d7{video.height}")
    facts.append(_CODECS.get(video.codec, video.codec))
    if video.hdr is not None:
        facts.append(_HDR[video.hdr])
    if video.fps:
        facts.append(f"{video.fps:.3f}".rstrip("0").rstrip(".") + " fps")
    if media.audio is not None:
        facts.append(_CODECS.get(media.audio.codec, media.audio.codec))
    if media.size is not None:
        facts.append(size(media.size))
    return clean(clip.title or "", letters), "   \u00b7   ".join(facts)
