"""Pictures and clips as Chromium shows them: their colours, counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Route

TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
# localhost is a secure context, as ImageDecoder wants; nothing is asked of it.
_ORIGIN = "http://localhost/"
_COUNT = """
const count = (shown, width, height) => {
  const canvas = new OffscreenCanvas(width, height);
  const paper = canvas.getContext("2d");
  paper.drawImage(shown, 0, 0);
  const data = paper.getImageData(0, 0, width, height).data;
  const colours = new Map();
  for (const colour of new Uint32Array(data.buffer))
    colours.set(colour, (colours.get(colour) || 0) + 1);
  return [width, height, [...colours]];
};
"""
_PICTURE = (
    "async (type) => {"
    + _COUNT
    + """
  const data = await (await fetch("file")).arrayBuffer();
  const decoder = new ImageDecoder({data, type});
  await decoder.tracks.ready;
  const frames = decoder.tracks.selectedTrack.frameCount;
  const {image} = await decoder.decode({frameIndex: frames - 1});
  return [frames, ...count(image, image.displayWidth, image.displayHeight)];
}"""
)
_MOVING = (
    "async () => {"
    + _COUNT
    + """
  const video = document.createElement("video");
  video.muted = true;
  await new Promise((loaded, failed) => {
    video.onloadeddata = loaded;
    video.onerror = () => failed(video.error.message);
    video.src = "file";
  });
  const sought = new Promise((done) => { video.onseeked = done; });
  video.currentTime = video.duration / 2;
  await sought;
  // The frame may come a moment after the event; until then nothing is drawn.
  const until = performance.now() + 10000;
  let shown;
  do {
    await new Promise((done) => setTimeout(done, 20));
    shown = count(video, video.videoWidth, video.videoHeight);
  } while (shown[2].every(([colour]) => colour === 0) && performance.now() < until);
  return [null, ...shown];
}"""
)


@dataclass(frozen=True)
class Shown:
    """One frame on the screen: how many pixels have each colour (RGBA).

    ``frames`` is how many there are, None for a movie. The frame is the last one of a
    picture, and the middle one of a movie.
    """

    frames: int | None
    width: int
    height: int
    colours: dict[tuple[int, ...], int]

    def share(self, colour: tuple[int, ...], slack: int = 0) -> float:
        """Return the share of the pixels within ``slack`` of an opaque colour."""
        wanted = (*colour, 255)
        found = sum(
            count
            for one, count in self.colours.items()
            if all(abs(a - b) <= slack for a, b in zip(one, wanted, strict=True))
        )
        return found / (self.width * self.height)


class Viewer:
    """A page that shows one file at a time."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_page()
        self._path = Path()
        self.page.route("**/*", self._serve)
        self.page.goto(_ORIGIN)

    def _serve(self, route: Route) -> None:
        if not route.request.url.endswith("/file"):
            route.fulfill(body="<!doctype html>", content_type="text/html")
            return
        body, headers = self._path.read_bytes(), {"Accept-Ranges": "bytes"}
        headers["Content-Type"] = TYPES[self._path.suffix]
        requested = route.request.headers.get("range")
        if requested is None:
            route.fulfill(body=body, headers=headers)
            return
        first, _, last = requested.removeprefix("bytes=").partition("-")
        start, end = int(first), int(last or len(body) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
        route.fulfill(status=206, body=body[start : end + 1], headers=headers)

    def show(self, path: Path) -> Shown:
        """Return what is on the screen for a file."""
        self._path = path
        kind = TYPES[path.suffix]
        script = _MOVING if kind.startswith("video") else _PICTURE
        found: list[Any] = self.page.evaluate(script, kind)
        frames, width, height, colours = found
        counted = {tuple(int(one).to_bytes(4, "little")): n for one, n in colours}
        return Shown(frames, width, height, counted)
