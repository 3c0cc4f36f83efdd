"""Images on request by the whole service: fifty who ask first, and those after."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import requests
from PIL import Image

from api.cli.client import Client
from tests.chaos.service import until
from tests.conftest import SAMPLE


def test_fifty_first_requests_make_one_image(service):
    film = service.upload(SAMPLE, [{"kind": "thumbnail", "width": 64}])["id"]
    client = Client(service.url)
    url = client.render_url(film, {"time": "50%", "width": 200}, "webp")
    known = {job["id"] for job in service.ask("/v1/jobs?limit=200")["jobs"]}

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: requests.get(url, timeout=90), range(50)))

    assert {answer.status_code for answer in answers} <= {200, 202}

    def there():
        answer = requests.get(url, timeout=90)
        return answer if answer.status_code == 200 else None

    answer = until(there, 120, "the image is there")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.width) == ("WEBP", 200)
    assert answer.headers["ETag"].strip('"')
    made = [
        job
        for job in service.ask("/v1/jobs?limit=200")["jobs"]
        if job["id"] not in known
    ]
    assert [job["outputs"][0]["artifacts"][0]["width"] for job in made] == [200]


def test_a_signed_url_opens_one_image_and_no_other(service):
    film = service.upload(SAMPLE, [{"kind": "thumbnail", "width": 64}])["id"]
    url = Client(service.url).render_url(film, {"time": 1, "width": 100})
    assert requests.get(url.replace("100", "101"), timeout=60).status_code == 403
    assert requests.get(url, timeout=90).headers["Content-Type"] == "image/jpeg"
