"""The user's journey through real parts: a video in, pictures out."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from tests.conftest import ROOT, SAMPLE
from tests.e2e.allinone import start


def download(artifact):
    with urllib.request.urlopen(artifact["url"], timeout=60) as answer:
        return answer.read(), answer.headers


@pytest.fixture(scope="module")
def uploaded(service):
    return service.upload(SAMPLE)


@pytest.fixture
def in_storage(service):
    client = service.storage()
    client.upload_file(str(SAMPLE), "framemill", "clips/bunny.mp4")
    return {"bucket": "framemill", "key": "clips/bunny.mp4"}


def artifact_of(job, output):
    (found,) = [one for one in job["outputs"] if one["name"] == output]
    assert found["status"] == "succeeded", found["error"]
    (artifact,) = found["artifacts"]
    return artifact


def test_an_upload_without_outputs_gives_the_natural_pair(uploaded):
    assert uploaded["status"] == "completed", uploaded["error"]
    assert [one["name"] for one in uploaded["outputs"]] == ["thumbnail", "animation"]
    assert uploaded["links"]["thumbnail"].startswith("http")
    assert uploaded["links"]["gif"].startswith("http")
    assert uploaded["media"]["video"]["width"] == 640


def test_the_thumbnail_is_a_picture_of_the_stated_size_and_hash(uploaded):
    artifact = artifact_of(uploaded, "thumbnail")

    body, headers = download(artifact)

    picture = Image.open(io.BytesIO(body))
    low, high = picture.convert("L").getextrema()
    assert picture.format == "JPEG"
    assert picture.size == (artifact["width"], artifact["height"]) == (640, 360)
    assert high - low > 100, "the picture is flat"
    assert headers["Content-Type"] == "image/jpeg"
    assert hashlib.sha256(body).hexdigest() == artifact["sha256"]


def test_the_thumbnail_has_a_placeholder_and_says_how_it_was_chosen(uploaded):
    details = artifact_of(uploaded, "thumbnail")["details"]

    assert 15 <= len(base64.b64decode(details["placeholder"])) <= 30
    assert re.fullmatch("#[0-9a-f]{6}", details["dominant_color"])
    assert 0 < details["score"] <= 1
    assert details["runners_up"][0]["score"] <= details["score"]


def test_the_gif_moves_for_five_seconds_and_loops_for_ever(uploaded):
    artifact = artifact_of(uploaded, "animation")

    body, headers = download(artifact)

    gif = Image.open(io.BytesIO(body))
    shown = []
    frames = []
    for number in range(gif.n_frames):
        gif.seek(number)
        shown.append(gif.info["duration"])
        frames.append(gif.convert("L").tobytes())
    assert gif.format == "GIF"
    assert headers["Content-Type"] == "image/gif"
    assert gif.size == (320, 180)
    assert gif.info["loop"] == 0
    assert artifact["frames"] == gif.n_frames
    assert sum(shown) / 1000 == pytest.approx(5, abs=0.2)
    assert len(set(frames)) > gif.n_frames / 2, "most frames differ"


def test_an_object_in_s3_gives_what_was_asked(service, in_storage):
    job = service.job(
        s3=in_storage,
        outputs=[
            {"name": "poster", "kind": "thumbnail", "time": "50%", "policy": "exact"},
            {"kind": "animation", "start": 1.5, "duration": 3, "fps": 10, "width": 240},
        ],
    )

    body, _ = download(artifact_of(job, "poster"))
    gif = artifact_of(job, "animation")
    assert Image.open(io.BytesIO(body)).format == "JPEG"
    assert artifact_of(job, "poster")["time"] == pytest.approx(5, abs=0.1)
    assert (gif["width"], gif["height"]) == (240, 135)
    assert gif["duration"] == pytest.approx(3, abs=0.15)
    assert gif["frames"] == pytest.approx(30, abs=1)


def test_a_video_turned_by_its_display_matrix_is_shown_upright(service, tmp_path):
    turned = tmp_path / "turned.mp4"
    subprocess.run(
        [
            *(get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90"),
            *("-i", SAMPLE, "-c", "copy", turned),
        ],
        check=True,
        timeout=60,
    )

    job = service.upload(turned, [{"kind": "thumbnail"}])

    artifact = artifact_of(job, "thumbnail")
    assert artifact["height"] > artifact["width"]


def test_a_file_that_is_no_video_is_a_failed_job_with_one_code(service, tmp_path):
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"not a video at all " * 500)

    job = service.upload(junk)

    codes = {one["error"]["code"] for one in job["outputs"]}
    assert job["status"] == "failed"
    assert codes == {job["error"]["code"]} == {"unsupported_format"}


def test_an_unknown_job_is_404_and_never_pending(service):
    with pytest.raises(urllib.error.HTTPError) as caught:
        service.ask("/v1/jobs/" + "0" * 32)

    assert caught.value.code == 404
    assert caught.value.headers["Content-Type"] == "application/problem+json"


def test_flower_lists_the_worker_and_the_tasks(service, uploaded):
    url = service.state["flower"]
    with urllib.request.urlopen(f"{url}/workers", timeout=60) as answer:
        workers = answer.read().decode()
    # As the page asks for the rows of its table.
    rows = f"{url}/tasks/datatable?draw=1&start=0&length=100&search[value]="
    rows += "&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
    with urllib.request.urlopen(rows, timeout=60) as answer:
        tasks = answer.read().decode()

    assert "framemill@" in workers
    assert "framemill.prepare" in tasks
    assert "framemill.render" in tasks


def readme_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```sh\n")[1:]]
    return [block for block in blocks if block.startswith("curl")]


@pytest.mark.needs("curl")
@pytest.mark.parametrize("number", range(len(readme_commands())))
def test_the_curl_commands_of_the_readme_give_pictures(service, number, tmp_path):
    command = readme_commands()[number]
    assert "http://127.0.0.1:8000" in command
    command = command.replace("http://127.0.0.1:8000", service.url)
    answer = tmp_path / "answer"
    ask = f"{command.strip()} -sS -o {answer} -w '%{{http_code}}'"

    done = subprocess.run(
        ["/bin/sh", "-c", ask],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    statuses = {"200", "202"} if "Prefer: wait" in command else {"202"}
    assert done.stdout in statuses, answer.read_text()
    job = service.ask(f"/v1/jobs/{json.loads(answer.read_text())['id']}")
    assert job["status"] == "completed", job["error"]


def test_a_second_supervisor_on_the_same_data_is_refused(service):
    second = start(service.data, "up")
    said, _ = second.communicate(timeout=60)

    assert second.returncode == 1
    assert "another ./dev runs" in said
