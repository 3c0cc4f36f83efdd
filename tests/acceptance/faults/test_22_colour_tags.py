"""Fault 22: MP4, WebM and AVIF say all three of their colours, not the matrix alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import tags
from tests.acceptance.service import Service, artifact, output_of

CLIP = Path(__file__).parents[2] / "cases" / "white_360p.mp4"
BT709 = tags.Colours(tags.BT709, tags.BT709, tags.BT709, full=False)
SHORT = {"start": 0, "duration": 0.4, "fps": 5.0, "width": 128}
BRIEF = {"segments": 2, "segment_duration": 0.2, "fps": 5.0, "width": 128}
READERS = {"mp4": tags.of_boxes, "avif": tags.of_boxes, "webm": tags.of_matroska}
OUTPUTS: list[dict[str, Any]] = [
    {"kind": "animation", "format": form, **words}
    for form in READERS
    for words in (SHORT, SHORT | {"max_bytes": 100_000})
]
OUTPUTS += [{"kind": "preview", "format": form, **BRIEF} for form in READERS]
OUTPUTS += [
    {"kind": "thumbnail", "format": "avif", "time": 0},
    {"kind": "storyboard", "format": "avif", "width": 128},
    {"kind": "contact_sheet", "format": "avif", "width": 320},
    {"kind": "thumbnail", "format": "avif", "fallback": ["icon"]},
    {"kind": "animation", "format": "webm", "fallback": ["icon"], "duration": 0.4},
]


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    """One job with all of the outputs; each test looks at its own alone."""
    requested = [one | {"name": f"o{place}"} for place, one in enumerate(OUTPUTS)]
    return service.submit(CLIP, requested)


@pytest.mark.parametrize(
    "place",
    range(len(OUTPUTS)),
    ids=["-".join(map(str, [o["kind"], o["format"], *o][:2])) for o in OUTPUTS],
)
def test_each_file_says_all_three_of_its_colours(place, service, job):
    output = output_of(job, f"o{place}")
    assert output["status"] == "succeeded", output["error"]

    body = service.fetch(output["artifacts"][0]).body

    found = READERS[OUTPUTS[place]["format"]](body)
    assert found
    assert set(found) == {BT709}


@pytest.mark.parametrize("words", [{"time": 0}, {"fallback": ["icon"]}])
def test_a_png_says_that_it_is_srgb_whatever_its_film_says(service, words):
    spec = {"kind": "thumbnail", "format": "png", **words}

    job = service.submit(CLIP, [spec])

    said = tags.of_png(service.fetch(artifact(job, "thumbnail")).body)
    assert "sRGB" in said
    assert "cICP" not in said
