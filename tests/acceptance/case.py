"""One output of a job: its files as fetched, and what is found wrong with them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from PIL import Image

from tests.acceptance import marks
from tests.acceptance.catalogue import Film
from tests.acceptance.decode import Frame, decode
from tests.acceptance.service import INDEX_TYPES, Fetched, HttpError, Service, names

# A mark of 24 cells needs about 3 pixels a cell to come through chroma and quality.
LEAST_WIDTH, LEAST_HEIGHT = 56, 30
# Below these a corner's colour says nothing.
LEAST_COLOURS, LEAST_QUALITY = 32, 20
EVEN = frozenset({"avif", "mp4", "webm"})
_MOST = 4
_MAGIC = {
    "image/jpeg": (0, b"\xff\xd8\xff"),
    "image/png": (0, b"\x89PNG"),
    "image/gif": (0, b"GIF8"),
    "image/webp": (8, b"WEBP"),
    "image/avif": (4, b"ftypavi"),
    "video/mp4": (4, b"ftyp"),
    "video/webm": (0, b"\x1a\x45\xdf\xa3"),
    "text/vtt": (0, b"WEBVTT"),
    "application/json": (0, b"{"),
    "application/vnd.apple.mpegurl": (0, b"#EXTM3U"),
    "application/dash+xml": (0, b"<?xml"),
    "application/zip": (0, b"PK"),
    "application/octet-stream": (0, b"\x89BIF"),
}
_ARCHIVES = frozenset({"application/zip", "application/octet-stream"})
_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "mp4": "video/mp4",
    "webm": "video/webm",
}


@dataclass
class Case:
    """An output that succeeded, with ``spec`` as asked and its defaults."""

    service: Service
    film: Film
    job: dict[str, Any]
    output: dict[str, Any]
    spec: dict[str, Any]
    files: dict[str, Fetched] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    durations: dict[str, float] = field(default_factory=dict)
    _frames: dict[str, list[Frame]] = field(default_factory=dict)

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """Return the artifacts as the job document states them."""
        return list(self.output["artifacts"])

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """Return the artifacts that are no index and no archive."""
        others = INDEX_TYPES | _ARCHIVES
        return [a for a in self.artifacts if a["content_type"] not in others]

    @property
    def is_coarse(self) -> bool:
        """Return whether so few colours or so little quality were asked."""
        few = self.spec.get("format") == "gif" and self.spec.get("colors", 256)
        low = self.spec.get("format") != "gif" and self.spec.get("quality", 100)
        return bool((few and few < LEAST_COLOURS) or (low and low < LEAST_QUALITY))

    def fault(self, text: str) -> None:
        """Add a problem."""
        self.problems.append(text)

    def check(self, fact: bool, text: str) -> None:
        """Add a problem unless the fact holds."""
        if not fact:
            self.problems.append(text)

    def note(self, text: str) -> None:
        """Add what could not be looked at, and why; once."""
        if text not in self.notes:
            self.notes.append(text)

    def frames(self, artifact: dict[str, Any]) -> list[Frame]:
        """Return the decoded frames of an artifact; none where it cannot be decoded."""
        name = artifact["name"]
        if name not in self._frames:
            try:
                self._frames[name] = decode(self.files[name].body)
            except (OSError, ValueError, SyntaxError, struct.error) as error:
                self.fault(f"{name} cannot be decoded: {error}")
                self._frames[name] = []
        return self._frames[name]

    def drop(self, artifact: dict[str, Any]) -> None:
        """Forget the frames of an artifact: many large ones would fill the memory."""
        self._frames.pop(artifact["name"], None)

    def number(
        self,
        picture: Image.Image,
        what: str,
        place: marks.Box | None = None,
        hidden: frozenset[str] = frozenset(),
    ) -> int | None:
        """Return the number that a picture shows, None where none can be read.

        A picture too small for a number adds a note, any other without one a problem.
        ``hidden`` are corners that something is drawn over.
        """
        box = place or (0, 0, *picture.size)
        if box[2] - box[0] < LEAST_WIDTH or box[3] - box[1] < LEAST_HEIGHT:
            size = f"{box[2] - box[0]:.0f}x{box[3] - box[1]:.0f}"
            self.note(f"no number: {size} is too small for one")
            return None
        try:
            reading = marks.read(picture, self.film.bits, place)
        except marks.Unreadable as error:
            if self.is_coarse:
                self.note(f"no number: {self.spec['format']} with this little quality")
            else:
                self.fault(f"{what} shows no number: {error}")
            return None
        corners = {k: v for k, v in reading.corners.items() if k not in hidden}
        if not self.is_coarse:
            upright = replace(reading, corners=corners).upright
            self.check(upright, f"{what}: corners {corners}")
        if self.film.span(reading.number) is None:
            self.fault(f"{what} shows frame {reading.number}, which the film has not")
            return None
        return reading.number


def fetch(case: Case) -> None:
    """Fetch every artifact by its URL and hold it against the job document."""
    for stated in case.artifacts:
        name = stated["name"]
        try:
            file = case.files[name] = case.service.fetch(stated)
        except HttpError as error:
            case.fault(f"{name}: {error.status} {error.body[:80]!r}")
            continue
        body = file.body
        case.check(
            len(body) == stated["bytes"],
            f"{name} has {len(body)} bytes, {stated['bytes']} are stated",
        )
        case.check(
            hashlib.sha256(body).hexdigest() == stated["sha256"],
            f"{name} has another sha256 than is stated",
        )
        kind = stated["content_type"]
        case.check(
            file.content_type == kind,
            f"{name} is served as {file.content_type}, {kind} is stated",
        )
        offset, magic = _MAGIC.get(kind, (0, b""))
        case.check(
            body[offset:].startswith(magic), f"{name} is no {kind}: {body[:12]!r}"
        )
    formats = case.spec.get("formats") or [case.spec.get("format", "")]
    wanted = [_TYPES[one] for one in formats if one in _TYPES]
    for stated in case.pictures:
        case.check(
            stated["content_type"] in wanted,
            f"{stated['name']} is {stated['content_type']}, {wanted} was asked",
        )
    case.check(bool(case.artifacts), "it succeeded without any file")


def follow(case: Case) -> None:
    """Follow every name in every index; what it leads to is an artifact's file."""
    indexes = [a for a in case.artifacts if a["content_type"] in INDEX_TYPES]
    stated = {a["name"]: a for a in case.artifacts}
    named: set[str] = set()
    for index in indexes:
        if index["name"] not in case.files:
            continue
        listed = names(case.files[index["name"]])
        named |= set(listed)
        case.check(bool(listed), f"{index['name']} names no file")
        lost = [name for name in listed if name not in stated]
        if lost:
            case.fault(
                f"{index['name']} names {lost[0]} and {len(lost) - 1} more that are "
                "no artifacts"
            )
        try:
            for file in case.service.follow(index["url"]):
                sha256 = hashlib.sha256(file.body).hexdigest()
                same = stated.get(file.name, {}).get("sha256") == sha256
                case.check(same, f"{index['name']} leads to another {file.name}")
        except HttpError as error:
            case.fault(f"a name in {index['name']} leads to {error.status}")
    if indexes:
        unnamed = [a["name"] for a in case.pictures if a["name"] not in named]
        case.check(not unnamed, f"no index names {', '.join(unnamed[:3])}")


def measure(case: Case, artifact: dict[str, Any]) -> list[Frame]:
    """Decode an artifact; hold size, frames and duration against the document."""
    name = artifact["name"]
    if name not in case.files:
        return []
    frames = case.frames(artifact)
    if not frames:
        return []
    sizes = {frame.picture.size for frame in frames}
    stated = (artifact["width"], artifact["height"])
    case.check(sizes == {stated}, f"{name} is {sizes}, {stated} is stated")
    case.check(
        artifact["frames"] == len(frames),
        f"{name} has {len(frames)} frames, {artifact['frames']} are stated",
    )
    seconds = sum(frame.duration for frame in frames)
    if artifact["duration"] is None:
        case.check(len(frames) == 1, f"{name} moves and has no duration")
    elif len(frames) > 1:
        case.check(
            close(seconds, artifact["duration"], 0.03 + 0.005 * len(frames) ** 0.5),
            f"{name} plays {seconds:.3f} s, {artifact['duration']} is stated",
        )
    return frames


def close(one: float, other: float, tolerance: float) -> bool:
    """Return whether two numbers differ by no more than that."""
    return abs(one - other) <= tolerance


def expected_size(
    spec: dict[str, Any], film: tuple[float, float], default: int
) -> tuple[float, float]:
    """Return the size of a picture of a film under width, height, fit and enlarge."""
    if spec.get("crop"):
        film = shown_of(spec | {"fit": None}, film, film)[2:]
    width, height = spec.get("width"), spec.get("height")
    if width is None and height is None:
        width = default
    fit = spec.get("fit", "contain")
    grows = bool(spec.get("enlarge"))
    if fit == "pad":
        return float(width or 0), float(height or 0)
    if fit in {"cover", "stretch"}:
        assert width, fit
        assert height, fit
        most = 1.0 if grows else min(1.0, film[0] / width, film[1] / height)
        return width * most, height * most
    scales = [
        side / whole for side, whole in zip((width, height), film, strict=True) if side
    ]
    scale = min(scales) if grows else min(1.0, *scales)
    return film[0] * scale, film[1] * scale


def files_of_one(case: Case) -> list[Case]:
    """Return the case once for each file of a picture, asked for that file alone.

    Widths that the film cannot fill are one file.
    """
    spec, film = case.spec, case.film.size or (10**6, 10**6)
    widths = sorted(spec.get("widths") or [None], reverse=True)
    shape = (spec.get("height") or 0) / (spec.get("width") or 1)
    found: dict[tuple[str, int], Case] = {}
    for kind in spec.get("formats") or [spec["format"]]:
        for width in widths:
            wanted = {"format": kind, "widths": None, "formats": None}
            if width is not None:
                tall = shape if spec["kind"] == "thumbnail" else 0
                height = round(tall * width) or None
                wanted |= {"width": width, "height": height}
            one = replace(case, spec=spec | wanted)
            across = expected_size(one.spec, film, 640)[0]
            if spec["kind"] != "thumbnail":
                across = width or 0
            even = 2 if kind in EVEN else 1
            found.setdefault((kind, round(across / even)), one)
    return list(found.values())


def check_srcsets(case: Case) -> None:
    """Check that ``srcsets`` offers each file of widths and formats, by its width."""
    if not (case.spec.get("widths") or case.spec.get("formats")):
        case.check(not case.output["srcsets"], "srcsets of a single file")
        return
    offered = [
        tuple(part.rsplit(" ", 1))
        for one in case.output["srcsets"]
        for part in one["srcset"].split(", ")
    ]
    stated = [(a["url"], f"{a['width']}w") for a in case.pictures]
    case.check(
        sorted(offered) == sorted(stated),
        f"srcsets offers {len(offered)} files, not the {len(stated)} artifacts",
    )


Rect = tuple[float, float, float, float]


def shown_of(
    spec: dict[str, Any], size: tuple[float, float], film: tuple[float, float]
) -> Rect:
    """Return the part of the film that is in a picture of that size.

    It is left, top, width and height in pixels of the film, by ``crop``, ``fit`` and
    ``gravity``.
    """
    left, top, width, height = 0.0, 0.0, float(film[0]), float(film[1])
    if spec.get("crop"):
        left, top, width, height = (
            float(one[:-1]) / 100 * film[place % 2] if isinstance(one, str) else one
            for place, one in enumerate(spec["crop"])
        )
        width, height = min(width, film[0] - left), min(height, film[1] - top)
    if spec.get("fit") != "cover":
        return left, top, width, height
    gravity = spec.get("gravity") or "center"
    if isinstance(gravity, str):
        across = (1 + ("east" in gravity) - ("west" in gravity)) / 2
        down = (1 + ("south" in gravity) - ("north" in gravity)) / 2
        gravity = [across, down]
    shape = size[0] / size[1]
    part = (min(width, height * shape), min(height, width / shape))
    left += min(max(0, gravity[0] * width - part[0] / 2), width - part[0])
    top += min(max(0, gravity[1] * height - part[1] / 2), height - part[1])
    return left, top, *part


def aimed(case: Case, artifact: dict[str, Any]) -> Case:
    """Return the case with the point that smart gravity chose, by the stated crop."""
    spec, film = case.spec, case.film.size
    stated = artifact["details"].get("crop")
    if spec.get("gravity") != "smart" or not stated or film is None:
        return case
    left, top, width, height = shown_of(spec | {"fit": None}, film, film)
    x = (stated["x"] + stated["width"] / 2 - left) / width
    y = (stated["y"] + stated["height"] / 2 - top) / height
    inside = 0 <= x <= 1 and 0 <= y <= 1
    case.check(inside, f"the crop is {stated}, beside what the film shows")
    return replace(case, spec=spec | {"gravity": [x, y]})


def check_crop(case: Case, artifact: dict[str, Any]) -> None:
    """Check that the part that is shown is stated where it may not be all of it."""
    spec, film = case.spec, case.film.size
    cuts = spec.get("fit") == "cover" or spec.get("crop") or spec.get("trim")
    stated = artifact["details"].get("crop")
    case.check(bool(cuts) == (stated is not None), f"the stated crop is {stated}")
    if film and stated and cuts:
        wanted = shown_of(spec, (artifact["width"], artifact["height"]), film)
        # A cut begins at an even pixel, and sizes are rounded.
        far = max(abs(a - b) for a, b in zip(stated.values(), wanted, strict=True))
        case.check(far <= 0.01 * max(film) + 3, f"the crop is {stated}, not {wanted}")


def placed(spec: dict[str, Any], size: tuple[int, int], film: tuple[int, int]) -> Any:
    """Return where the film's frame lies in a picture, None for all of it."""
    left, top, width, height = shown_of(spec, size, film)
    if spec.get("fit") == "pad":
        box = marks.contained(size, film)
        if box[2] - box[0] <= film[0] or spec.get("enlarge"):
            return box
        left, top = (size[0] - film[0]) / 2, (size[1] - film[1]) / 2
        return (left, top, left + film[0], top + film[1])
    if (width, height) == film:
        return None
    across, down = size[0] / width, size[1] / height
    whole = (film[0] * across, film[1] * down)
    return (
        -left * across,
        -top * down,
        whole[0] - left * across,
        whole[1] - top * down,
    )


def check_size(case: Case, size: tuple[int, int], default: int) -> None:
    """Check a picture's size against what was asked of a film of a known size."""
    film = case.film.size
    if film is None:
        case.note("no size: films.json does not state the film's")
        return
    wanted = expected_size(case.spec, film, default)
    slack = 2.01 if case.spec.get("format") in EVEN else 1.01
    # Both edges of a cut are at even pixels.
    slack += 2 if case.spec.get("crop") else 0
    fits = all(
        close(one, max(other, 1), slack)
        for one, other in zip(size, wanted, strict=True)
    )
    shown = f"{wanted[0]:.0f}x{wanted[1]:.0f}"
    case.check(fits, f"the picture is {size[0]}x{size[1]}, {shown} was asked")


def shortened(problems: Sequence[str]) -> str:
    """Return the first problems and how many more there are, on one line."""
    more = len(problems) - _MOST
    text = "; ".join(problems[:_MOST])
    return f"{text}; and {more} more" if more > 0 else text


def rising(values: Iterable[float]) -> bool:
    """Return whether each value is over the one before."""
    listed = list(values)
    return all(a < b for a, b in pairwise(listed))
