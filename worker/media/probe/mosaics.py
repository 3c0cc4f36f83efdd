"""Join, in a file's facts, the streams that form one picture.

:mod:`worker.media.probe.isobmff` says which belong together. The result is one
candidate for the film in place of its tiles, with ``mosaic`` and ``alpha_mosaic`` as in
:class:`common.model.Mosaic`.
"""

from __future__ import annotations

from typing import Any

from worker.media.probe.isobmff import Assembly, DerivedImage, PrimaryImage

Video = dict[str, Any]
Kept = tuple[int, int, int, int]
_FIXED = 65_536


def join(videos: list[Video], assembly: Assembly) -> list[Video]:
    """Return the candidates for the film, each with the streams that belong to it.

    A stream that is part of another one's picture is not a candidate.
    """
    items = {video["id"]: video for video in videos if _is_item(video)}
    tracks = {video["id"]: video for video in videos if not _is_item(video)}
    parts: list[int] = []
    found = []
    for video in videos:
        alpha = tracks.get(assembly.alpha_tracks.get(video["id"], -1))
        if alpha is None or _is_item(video) or not alpha["frames"]:
            found.append(video)
            continue
        whole = _size(alpha)
        tile = {"stream": alpha["index"], "x": 0, "y": 0}
        mosaic = {"width": whole[0], "height": whole[1], "tiles": [tile]}
        found.append(video | {"alpha_mosaic": mosaic})
        parts.append(alpha["index"])
    if assembly.picture is not None:
        joined, used = _picture(assembly.picture, items)
        parts += used
        if joined is not None:
            found = [one for one in found if one["index"] != joined["index"]]
            found.append(joined)
            parts = [index for index in parts if index != joined["index"]]
    return [video for video in found if video["index"] not in parts]


def _is_item(video: Video) -> bool:
    """Return True if a stream is a picture of a HEIF file, not a track."""
    return video["duration"] is None and video["packets"] <= 1


def _size(video: Video) -> tuple[int, int]:
    frame = video["frames"][0]
    return frame["width"], frame["height"]


def _picture(
    picture: PrimaryImage, items: dict[int, Video]
) -> tuple[Video | None, list[int]]:
    """Return the primary item as one video, and the streams it is made of."""
    alpha = picture.alpha and _mosaic(picture.alpha, picture, items)
    used = [tile["stream"] for tile in alpha["tiles"]] if alpha else []
    if picture.canvas is None:
        plain = items.get(picture.id)
        return (plain and alpha and plain | {"alpha_mosaic": alpha}) or None, used
    mosaic = _mosaic(picture.canvas, picture, items)
    if mosaic is None:
        return None, used
    first = items[picture.canvas.parts[0].id]
    frame = first["frames"][0] | {
        "width": mosaic["width"],
        "height": mosaic["height"],
        "matrix": _matrix(picture),
        "rotation": 0,
    }
    video = first | {"frames": [frame], "default": True, "mosaic": mosaic}
    if alpha:
        video["alpha_mosaic"] = alpha
    return video, [*used, *(tile["stream"] for tile in mosaic["tiles"])]


def _matrix(picture: PrimaryImage) -> list[int]:
    a, b, c, d = (one * _FIXED for one in picture.matrix)
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def _mosaic(
    canvas: DerivedImage, picture: PrimaryImage, items: dict[int, Video]
) -> dict[str, Any] | None:
    """Return the places of the tiles and the crop; None if a tile did not decode."""
    tiles = []
    for part in canvas.parts:
        video = items.get(part.id)
        if video is None or not video["frames"]:
            return None
        tiles.append({"stream": video["index"], "x": part.x, "y": part.y})
    width, height, x, y = _kept(canvas, picture)
    return {"width": width, "height": height, "x": x, "y": y, "tiles": tiles}


def _kept(canvas: DerivedImage, picture: PrimaryImage) -> Kept:
    """Return width, height, x and y of the part of a canvas that is shown."""
    whole = picture.canvas
    if picture.crop is None or whole is None:
        return canvas.width, canvas.height, 0, 0
    across, down = canvas.width / whole.width, canvas.height / whole.height
    width, height, x, y = picture.crop
    return (
        max(1, round(width * across)),
        max(1, round(height * down)),
        round(x * across),
        round(y * down),
    )
