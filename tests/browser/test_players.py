"""Players of others open what trickplay made, and show the right tile for a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.test_job import await_end
from tests.chaos.service import Service
from tests.chromium import MILLISECONDS
from tests.conftest import SAMPLE
from tests.ports import free_port
from tests.tools import SHAKA
from tests.worker.media.recipes.ramps import ffmpeg

pytestmark = [pytest.mark.browser, pytest.mark.needs("chromium", "shaka-player")]
BOARD = {
    "kind": "storyboard",
    "interval": 1,
    "width": 96,
    "columns": 3,
    "rows": 2,
    "trickplay": ["dash"],
}
SHOWN = """async ([address, times]) => {
  const player = new shaka.Player();
  const video = document.createElement("video");
  await player.attach(video);
  // An error of the player is an object of numbers, whose meaning its page states.
  await player.load(address).catch((error) => {
    throw new Error(`Shaka error ${error.code}: ${error.data}`);
  });
  const [track] = player.getImageTracks();
  const found = [];
  for (const time of times) {
    const one = await player.getThumbnails(track.id, time);
    found.push([one.uris[0], one.positionX, one.positionY, one.width, one.height]);
  }
  await player.destroy();
  return found;
}"""


@pytest.fixture(scope="module")
def board(service: Service) -> dict[str, Any]:
    """Return the storyboard's index, and the address of each of its files."""
    job = await_end(service, service.submit(SAMPLE, [BOARD]))
    files = {one["name"]: one["url"] for one in job["outputs"][0]["artifacts"]}
    with urlopen(files["storyboard.json"], timeout=60) as answer:
        return json.load(answer) | {"urls": files}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package the sample for DASH and HLS, both of the same segments."""
    folder = tmp_path_factory.mktemp("film")
    words = ("-map", "0:v", "-c", "copy", "-seg_duration", "4", "-hls_playlist", "1")
    ffmpeg("-i", str(SAMPLE), *words, "-f", "dash", str(folder / "film.mpd"))
    return folder


class Site(SimpleHTTPRequestHandler):
    """Serve a folder, and keep quiet about it."""

    extensions_map: ClassVar = SimpleHTTPRequestHandler.extensions_map | {
        ".mpd": "application/dash+xml",
        ".m3u8": "application/vnd.apple.mpegurl",
        ".m4s": "video/mp4",
    }

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def site(film: Path) -> Iterator[str]:
    """Serve the film from another origin than the service's."""
    (film / "index.html").write_text("<!doctype html><title>Film</title>")
    with ThreadingHTTPServer(
        ("127.0.0.1", free_port()), partial(Site, directory=str(film))
    ) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """Open a page of that site, with Shaka Player in it."""
    page = browser.new_page()
    page.set_default_timeout(MILLISECONDS)
    page.goto(site)
    page.add_script_tag(path=SHAKA)
    yield page
    page.close()


def check(page: Page, address: str, board: dict[str, Any]) -> None:
    """Ask the player what it shows in the middle of each interval."""
    size = (board["tile_width"], board["tile_height"])
    # Each tile of these formats is shown for its whole interval.
    times = [place + 0.5 for place in range(len(board["tiles"]))]
    wanted = [
        [urlsplit(board["urls"][tile["file"]]).path, tile["x"], tile["y"], *size]
        for tile in board["tiles"]
    ]
    shown = page.evaluate(SHOWN, [address, times])
    assert [[urlsplit(one[0]).path, *one[1:]] for one in shown] == wanted
    with urlopen(shown[0][0], timeout=60) as answer:
        assert answer.headers.get_content_type() == "image/jpeg"


def test_shaka_opens_the_track_beside_a_film_in_dash(
    page: Page, site: str, film: Path, board: dict[str, Any]
) -> None:
    with urlopen(board["urls"]["storyboard.mpd"], timeout=60) as answer:
        track = re.search(
            r"<AdaptationSet.*</AdaptationSet>", answer.read().decode(), re.DOTALL
        )
    assert track
    folder = urljoin(board["urls"]["storyboard.mpd"], ".")
    based = re.sub(
        "(<AdaptationSet[^>]*>)", rf"\1<BaseURL>{folder}</BaseURL>", track[0]
    )
    text = (film / "film.mpd").read_text().replace("</Period>", based + "</Period>")
    (film / "both.mpd").write_text(text)
    check(page, site + "both.mpd", board)


def test_shaka_opens_the_image_playlist_of_hls(
    page: Page, site: str, film: Path, board: dict[str, Any]
) -> None:
    size = f"{board['tile_width']}x{board['tile_height']}"
    line = (
        f'#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=20000,CODECS="jpeg",RESOLUTION={size},'
        f'URI="{board["urls"]["storyboard.m3u8"]}"\n'
    )
    (film / "both.m3u8").write_text((film / "master.m3u8").read_text() + line)
    check(page, site + "both.m3u8", board)
