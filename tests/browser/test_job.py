"""One job: what happened to it, other frames, other settings; and the gallery."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from PIL import Image, ImageStat
from playwright.sync_api import Locator, Route, expect

from common.settings.load import Settings
from common.storage.links import share_token
from tests.browser.conftest import Visit
from tests.browser.inspection import assert_accessible, assert_fits, assert_quiet
from tests.browser.test_home import SLOW, assert_loaded
from tests.chaos.service import SECRET, Service, until
from tests.conftest import SAMPLE

pytestmark = pytest.mark.browser
expect.set_options(timeout=SLOW)
# Of a picture or a video: nothing of it is on its way.
LOADED = "shown => shown.complete !== false && shown.networkState !== 2"
PAIR = [{"kind": "thumbnail"}, {"kind": "storyboard", "interval": 5}]


def await_end(service: Service, job: str) -> dict[str, Any]:
    ends = {"completed", "partial", "failed", "cancelled"}

    def ended() -> dict[str, Any] | None:
        found = service.get(f"/v1/jobs/{job}")
        return found if found["status"] in ends else None

    return until(ended, 120, "the job ends")


def send(service: Service, method: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        service.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    made = service.submit(SAMPLE, PAIR)
    assert await_end(service, made)["status"] == "completed"
    return made


@pytest.fixture(scope="module")
def ramp(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a job over three minutes that grow lighter by one step a second.

    No browser plays MPEG-2, so that the storyboard alone is there to scrub.
    """
    clip = tmp_path_factory.mktemp("ramp") / "ramp.mkv"
    grey = "nullsrc=s=160x90:r=5:d=180,geq=lum='16+T':cb=128:cr=128"
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    encode = ["-c:v", "mpeg2video", "-r", "25", "-q:v", "2", str(clip)]
    subprocess.run(
        [ffmpeg, "-v", "error", "-f", "lavfi", "-i", grey, *encode],
        check=True,
    )
    made = service.submit(
        clip, [{"kind": "thumbnail", "time": 60}, {"kind": "storyboard"}]
    )
    assert await_end(service, made)["status"] == "completed"
    return made


def grey_of(shown: Locator) -> float:
    picture = Image.open(io.BytesIO(shown.screenshot())).convert("L")
    width, height = picture.size
    middle = picture.crop((width // 4, height // 4, width * 3 // 4, height * 3 // 4))
    return float(ImageStat.Stat(middle).mean[0])


def test_the_timeline_shows_what_was_tried_and_for_how_long(
    visit: Visit, job: str
) -> None:
    visit.open(f"/jobs/{job}")
    events = visit.page.locator("#events li")
    expect(events.last).to_have_attribute("data-event", "job.completed")

    shown = events.all_inner_texts()
    assert "Accepted" in shown[0]
    assert any("thumbnail: made" in line and "Attempt 1" in line for line in shown)
    assert visit.page.locator(".lane").count() == 3, "prepare and two outputs"
    expect(visit.page.locator('.bar[data-state="succeeded"]')).to_have_count(2)
    assert_accessible(visit)
    assert_quiet(visit)


def test_the_timeline_says_what_went_wrong_where(visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    failed = visit.service.submit(broken, PAIR)
    visit.open(f"/jobs/{failed}")

    line = visit.page.locator('#events li[data-event="output.failed"]').first
    expect(line).to_contain_text("not in a supported video format")
    # There is nothing to be seen behind a link.
    expect(visit.page.get_by_role("button", name="Try again")).to_be_visible()
    expect(visit.page.get_by_role("button", name="Share")).to_have_count(0)


def test_the_stages_of_a_job_include_its_deliveries(visit: Visit, job: str) -> None:
    # A webhook goes to public addresses only, so this one fails at once.
    hook = {"type": "webhook", "url": "https://localhost/hook"}
    hook["secret"] = "whsec_" + base64.b64encode(bytes(32)).decode()
    about = [hook | {"events": ["job.completed"]}]
    still = {"kind": "thumbnail", "time": 1}
    body = {"source": {"job": job}, "outputs": [still], "notify": about}
    told = send(visit.service, "POST", "/v1/jobs", body)["id"]
    visit.open(f"/jobs/{told}")

    stages = visit.page.locator(".stage")
    expect(stages.nth(3)).to_contain_text("Notices")
    expect(stages.nth(3)).to_have_attribute("data-state", "failed")
    states = stages.evaluate_all("all => all.map(one => one.dataset.state)")
    assert states == ["succeeded", "succeeded", "succeeded", "failed"]
    line = visit.page.locator('#events li[data-event^="delivery"]')
    expect(line).to_contain_text("Webhook to https://localhost/hook: Failed")
    expect(line).to_contain_text("1 attempt")
    assert_accessible(visit)
    assert_quiet(visit)


TIMELINE = """async ({job, events}) => {
    const {Timeline} = await import("/static/js/timeline.js");
    const names = ["stages", "bars", "events"];
    const places = names.map(name => [name, document.createElement("ol")]);
    const shown = Object.fromEntries(places);
    const timeline = new Timeline(shown);
    timeline.update(job);
    events.forEach(event => timeline.add(event));
    return [...shown.events.children].map(line => line.textContent);
}"""


def test_what_was_tried_is_shown_before_the_output_has_ended(
    visit: Visit, job: str
) -> None:
    visit.open(f"/jobs/{job}")
    types = ["output.running", "output.requeued", "output.running", "output.requeued"]
    events = [
        {"type": one, "details": {}, "output": "still", "at": f"2026-11-28T10:00:0{n}Z"}
        for n, one in enumerate(types)
    ]
    error = {"detail": "the disk is full"}
    attempts = [
        {"attempt": n, "rung": way, "error": error, "seconds": 2.5}
        for n, way in ((1, "auto"), (2, "artwork"))
    ]
    output = {"name": "still", "status": "running", "attempts": attempts}
    document = {"status": "processing", "outputs": [output]}
    lines = visit.page.evaluate(TIMELINE, {"job": document, "events": events})

    assert ["Attempt" in line for line in lines] == [False, False, False, True]
    assert "Attempt 1 (auto) · 2.5 s · The disk is full" in lines[3]
    assert "Attempt 2 (artwork)" in lines[3]


STAGES = """async ({output, events}) => {
    const {stages} = await import("/static/js/stages.js");
    const job = {status: "processing", outputs: [output]};
    return stages(job, events, []).map(one => [one.dataset.state, one.innerText]);
}"""


def test_parts_and_the_copy_to_the_destination_are_shown(
    visit: Visit, job: str
) -> None:
    visit.open(f"/jobs/{job}")
    types = ["job.processing", "job.probed", "output.running", "output.publishing"]
    events = [
        {"type": one, "details": {}, "output": "still" if "output" in one else None}
        for one in types
    ]
    events[2]["details"] = {"parts": 4}
    output = {"name": "still", "status": "running", "attempts": []}
    shown = visit.page.evaluate(STAGES, {"output": output, "events": events})
    assert [state for state, _ in shown] == ["succeeded", "succeeded", "publishing"]
    assert "Being copied to the destination · in 4 parts" in shown[2][1]

    done = {"output": output | {"status": "succeeded"}, "events": events}
    assert "copied to the destination" in visit.page.evaluate(STAGES, done)[2][1]


@pytest.mark.parametrize("time", [12.0, 95.5, 178.0])
def test_the_scrubber_shows_the_tile_of_its_time(
    visit: Visit, ramp: str, time: float
) -> None:
    visit.open(f"/jobs/{ramp}")
    visit.page.get_by_role("button", name="Pick another frame").click()
    box = visit.page.get_by_role("dialog")
    expect(box.locator("video")).to_have_count(0)
    box.get_by_role("slider").fill(str(time))
    tile = box.locator(".tile-window")
    assert_loaded(tile.locator("img"))

    shown = float(tile.get_attribute("data-time") or "nan")
    assert shown <= time < shown + 10
    assert grey_of(tile) == pytest.approx(shown * 255 / 219, abs=4)


def test_another_frame_is_picked_and_shown_beside_the_first(
    visit: Visit, job: str
) -> None:
    visit.open(f"/jobs/{job}")
    visit.page.get_by_role("button", name="Pick another frame").click()
    box = visit.page.get_by_role("dialog")
    assert_accessible(visit)
    box.get_by_role("slider").fill("3")
    box.get_by_role("button", name="Use this frame").click()
    both = visit.page.get_by_role("article", name="Before and after")

    expect(both.get_by_text("Frame at 0:03.0")).to_be_visible()
    assert both.locator("figure img").count() == 2
    assert_quiet(visit)


def test_a_runner_up_is_chosen_by_keyboard(visit: Visit, job: str) -> None:
    visit.open(f"/jobs/{job}")
    other = visit.page.get_by_role("button", name="Use the frame at").first
    label = other.get_attribute("aria-label") or ""
    other.focus()
    visit.page.keyboard.press("Enter")
    both = visit.page.get_by_role("article", name="Before and after")

    expect(both.get_by_text(f"Frame at {label.split()[-1]}")).to_be_visible()


def test_an_output_is_made_again_with_other_settings(visit: Visit, job: str) -> None:
    visit.open(f"/jobs/{job}")
    section = visit.page.locator("[data-output=thumbnail]")
    section.get_by_role("button", name="Change settings").click()
    box = visit.page.get_by_role("dialog")
    width = box.locator("[name=width]")
    width.fill("1")
    box.get_by_role("button", name="Make it again").click()
    expect(width).to_have_attribute("aria-invalid", "true")
    assert_accessible(visit)
    width.fill("200")
    box.get_by_role("button", name="Make it again").click()
    both = visit.page.get_by_role("article", name="Before and after")

    expect(both.get_by_text("200 \u00d7")).to_be_visible()


def test_the_form_has_every_field_of_the_schema(visit: Visit) -> None:
    visit.open("/")
    visit.page.get_by_role("radio", name="Your own").check()
    form = visit.page.locator(".schema-form")
    expect(form).to_be_visible()
    schema = visit.service.get("/v1/outputs/schema")["kinds"]["thumbnail"]
    names = form.locator("[name]").evaluate_all("all => all.map(one => one.name)")

    assert set(names) == set(schema["properties"]) - {"kind"}
    form.locator("[name=width]").fill("200")
    visit.page.get_by_text("The same from a terminal").click()
    command = visit.page.locator(".command code").first
    expect(command).to_contain_text('outputs=[{"kind":"thumbnail","width":200}]')
    assert_accessible(visit)


def test_several_sizes_are_asked_for_and_offered_with_their_picture(
    visit: Visit,
) -> None:
    visit.open("/")
    visit.page.get_by_role("radio", name="Your own").check()
    form = visit.page.locator(".schema-form")
    form.locator("[name=widths]").fill("160, 320")
    form.locator("[name=formats]").fill("avif, jpeg")
    visit.page.get_by_text("The same from a terminal").click()
    outputs = [{"kind": "thumbnail", "formats": ["avif", "jpeg"], "widths": [160, 320]}]
    command = json.dumps(outputs, separators=(",", ":"))
    expect(visit.page.locator(".command code").first).to_contain_text(command)

    done = await_end(visit.service, visit.service.submit(SAMPLE, outputs))
    visit.open(f"/jobs/{done['id']}")
    section = visit.page.locator("[data-output=thumbnail]")

    expect(section.locator("figure")).to_have_count(1)
    expect(section.locator(".versions a")).to_have_count(3)
    assert len(done["outputs"][0]["srcsets"]) == 2
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    html = copied(visit, "thumbnail")
    for one in done["outputs"][0]["srcsets"]:
        assert f'srcset="{one["srcset"]}"' in html
    assert_accessible(visit)


MANY = [
    {"kind": "thumbnail", "name": "small", "time": 2, "width": 320},
    {"kind": "thumbnail", "name": "large", "time": 2, "width": 640},
    {"kind": "thumbnail", "name": "new", "time": 2, "width": 640, "format": "avif"},
    {"kind": "thumbnail", "name": "other", "time": 4, "width": 320},
    *(
        {"kind": "animation", "name": one, "format": one, "duration": 1, "width": 160}
        for one in ("gif", "webp", "avif", "mp4")
    ),
]


@pytest.fixture(scope="module")
def versions(service: Service) -> dict[str, Any]:
    """Return a job with one frame in three versions, and one stretch in four."""
    done = await_end(service, service.submit(SAMPLE, MANY))
    assert done["status"] == "completed"
    return done


def copied(visit: Visit, output: str) -> str:
    """Return the HTML that an output's button copies."""
    row = visit.page.locator(f"[data-output={output}] .copy").first
    row.get_by_role("button", name="HTML").click()
    return str(visit.page.evaluate("navigator.clipboard.readText()"))


def test_html_offers_all_versions_of_a_frame(
    visit: Visit, versions: dict[str, Any]
) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.open(f"/jobs/{versions['id']}")
    made = {one["name"]: one["artifacts"][0] for one in versions["outputs"]}
    url = {name: one["url"] for name, one in made.items()}
    sizes = 'sizes="(max-width: 640px) 100vw, 640px"'

    assert copied(visit, "small") == (
        "<picture>\n"
        f'  <source type="image/avif" srcset="{url["new"]} 640w" {sizes}>\n'
        f'  <img src="{url["large"]}" srcset="{url["small"]} 320w, {url["large"]} '
        f'640w" {sizes} width="640" height="360" alt="c.mp4: small">\n'
        "</picture>"
    )
    assert copied(visit, "other").startswith(f'<img src="{url["other"]}" width="320"')
    clip = copied(visit, "mp4")
    assert clip.startswith(f'<video src="{url["mp4"]}" width="160"')
    assert f' poster="{url["small"]}"' in clip


def test_a_slider_goes_through_animations_by_their_bytes(
    visit: Visit, versions: dict[str, Any]
) -> None:
    visit.open(f"/jobs/{versions['id']}")
    found = [one for one in versions["outputs"] if one["kind"] == "animation"]
    found.sort(key=lambda one: one["artifacts"][0]["bytes"])
    names = [one["name"].upper() for one in found]
    box = visit.page.get_by_role("region", name="Compare by file size")
    slider = box.get_by_role("slider")
    expect(box.get_by_text("This is the smallest.")).to_be_visible()
    slider.focus()
    seen = []
    for _ in names:
        seen.append((slider.get_attribute("aria-valuetext") or "").split()[0])
        shown = box.locator(".version > *").get_attribute("src")
        assert shown == found[len(seen) - 1]["artifacts"][0]["url"]
        # One that is replaced while it loads is a request that was stopped.
        version = box.locator(".version > *")
        until(lambda version=version: version.evaluate(LOADED), 60, "its bytes")
        visit.page.keyboard.press("ArrowRight")

    assert seen == names
    expect(box.get_by_text("This is the largest.")).to_be_visible()
    expect(box.get_by_text(f"Next smaller: {names[-2]}")).to_be_visible()
    assert_accessible(visit)
    assert_quiet(visit)


def test_a_chosen_runner_up_is_copied_like_any_picture(visit: Visit, job: str) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.open(f"/jobs/{job}")
    visit.page.get_by_role("button", name="Use the frame at").first.click()
    made = visit.page.get_by_role("article", name="Before and after").locator(
        "article [data-output=thumbnail]"
    )
    picture = made.locator("figure img")
    expect(picture).to_be_visible()
    made.get_by_role("button", name="HTML").click()
    html = visit.page.evaluate("navigator.clipboard.readText()")

    assert html.startswith(f'<img src="{picture.get_attribute("src")}"')


def test_a_job_is_deleted(visit: Visit) -> None:
    made = visit.service.submit(SAMPLE, [{"kind": "thumbnail", "time": 1}])
    await_end(visit.service, made)
    visit.open(f"/jobs/{made}")
    visit.page.on("dialog", lambda question: question.accept())
    visit.page.get_by_role("button", name="Delete").click()
    visit.page.wait_for_url("**/jobs")

    expect(visit.page.locator("#jobs li").first).to_be_visible()
    assert visit.page.locator(f"#job-{made}").count() == 0


def test_a_gallery_of_two_hundred_jobs(visit: Visit, job: str) -> None:
    outputs = [{"kind": "thumbnail", "time": 1}]
    body = {"sources": [{"job": job}] * 200, "outputs": outputs}
    with visit.service.stopped("worker"):
        batch = send(visit.service, "POST", "/v1/batches", body)["id"]
    until(
        lambda: (
            sum(visit.service.get(f"/v1/batches/{batch}")["counts"].values()) >= 200
        ),
        120,
        "the batch has its jobs",
    )
    send(visit.service, "POST", f"/v1/batches/{batch}/cancel")
    visit.open("/jobs")
    tiles = visit.page.locator("#jobs > li")
    expect(tiles).to_have_count(24)
    while visit.page.get_by_role("button", name="Show more").is_visible():
        before = tiles.count()
        visit.page.get_by_role("button", name="Show more").click()
        expect(tiles.nth(before)).to_be_visible()

    assert tiles.count() > 200
    visit.page.get_by_label("Status").select_option("failed")
    expect(visit.page.locator('.status[data-status="cancelled"]')).to_have_count(0)
    assert_fits(visit)
    assert_accessible(visit)
    assert_quiet(visit)


def test_the_gallery_is_searched_by_name(visit: Visit, job: str) -> None:
    visit.open("/jobs")
    visit.page.get_by_label("Search by name or id").fill(job[:12])
    tiles = visit.page.locator("#jobs > li")
    expect(tiles).to_have_count(1)

    assert tiles.first.get_attribute("id") == f"job-{job}"
    visit.page.get_by_label("Search by name or id").fill("no such name")
    expect(visit.page.get_by_text("No job matches.")).to_be_visible()
    assert_quiet(visit)


def test_a_gallery_without_jobs_leads_to_the_first_page(visit: Visit) -> None:
    nothing = {"jobs": [], "next": None}
    visit.page.route("**/v1/jobs?*", lambda route: route.fulfill(json=nothing))
    visit.open("/jobs")

    expect(visit.page.get_by_text("No jobs yet.")).to_be_visible()
    visit.page.get_by_role("link", name="Drop a video").click()
    visit.page.wait_for_url(f"{visit.service.url}/")


def test_a_job_that_is_gone_says_what_may_have_happened(visit: Visit) -> None:
    visit.page.goto(f"{visit.service.url}/jobs/{'0' * 32}")

    expect(visit.page.get_by_role("heading", level=1)).to_have_text(
        "There is no such job"
    )
    expect(visit.page.get_by_text("it has expired")).to_be_visible()


def test_seconds_in_a_bar_are_never_cut_off(visit: Visit, job: str) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.open(f"/jobs/{job}")
    expect(visit.page.locator(".bar").first).to_be_attached()

    cut = """bars => bars.filter(bar => {
        const words = bar.firstElementChild.getBoundingClientRect();
        return words.width > 0 && words.right > bar.getBoundingClientRect().right;
    }).map(bar => bar.title)"""
    assert visit.page.locator(".bar").evaluate_all(cut) == []


def test_german_writes_times_with_a_comma(visit: Visit, job: str) -> None:
    visit.page.context.add_cookies(
        [{"name": "language", "value": "de", "url": visit.service.url}]
    )
    visit.open(f"/jobs/{job}")
    facts = visit.page.locator("[data-output=thumbnail] figcaption").first

    expect(facts).to_contain_text(re.compile(r"Bild bei 0:\d\d,\d "))


def test_a_page_with_running_jobs_needs_one_stream(visit: Visit) -> None:
    visit.open("/")
    with visit.service.stopped("worker"):
        visit.page.locator("#files").set_input_files([SAMPLE])
        expect(visit.page.locator(".card.job").first).to_be_visible()
        visit.page.locator("#files").set_input_files([SAMPLE])
        expect(visit.page.get_by_role("progressbar").first).to_be_visible()
        visit.page.wait_for_timeout(500)
    cards = visit.page.locator('.card.job[data-status="completed"]')
    expect(cards.nth(1)).to_be_visible()
    streams = [one.url for one in visit.answers if "/v1/events" in one.url]

    assert streams
    assert all("/v1/jobs/" not in url for url in streams)


def test_all_files_are_downloaded_as_one_zip(visit: Visit, job: str) -> None:
    visit.open(f"/jobs/{job}")
    with visit.page.expect_download() as download:
        visit.page.get_by_role("link", name="Download all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = set(archive.namelist())

    assert {"thumbnail/thumbnail.jpg", "storyboard/storyboard.vtt"} <= names


def test_a_shared_link_shows_the_job_alone(visit: Visit, job: str) -> None:
    visit.open(f"/jobs/{job}")
    visit.page.get_by_role("button", name="Share").click()
    visit.page.get_by_role("button", name="Create link").click()
    link = visit.page.get_by_role("textbox", name="Link").input_value()
    visit.page.goto(link)
    assert_loaded(visit.page.locator("[data-output=thumbnail] figure img"))

    expect(visit.page.get_by_text("Shared with you until")).to_be_visible()
    assert visit.page.get_by_text("seek bar").count() == 0, "there is no player"
    assert visit.page.get_by_role("navigation").count() == 0
    names = [f"^{name}$" for name in ("Delete", "Share", "Change settings")]
    for name in names:
        button = visit.page.get_by_role("button", name=re.compile(name))
        assert button.count() == 0
    assert_accessible(visit)
    assert_quiet(visit)


def test_a_shared_link_that_has_expired_says_so(visit: Visit, job: str) -> None:
    settings = Settings(api={"secret": SECRET})
    token = share_token(settings, job, 1_000_000_000, source=False)
    answer = visit.page.goto(f"{visit.service.url}/s/{token}")

    assert answer is not None
    assert answer.status == 403
    expect(visit.page.get_by_role("heading", level=1)).to_have_text(
        "This link no longer works"
    )
    assert visit.page.locator("#job").count() == 0


def test_a_shared_page_goes_on_after_a_poll_that_failed(visit: Visit) -> None:
    settings = Settings(api={"secret": SECRET})
    failures: list[Route] = []

    def fail_twice(route: Route) -> None:
        if route.request.is_navigation_request() or len(failures) == 2:
            route.fallback()
            return
        failures.append(route)
        route.fulfill(status=503, json={"title": "away", "detail": "away"})

    with visit.service.stopped("worker"):
        job = visit.service.submit(SAMPLE, [{"kind": "thumbnail", "time": 1}])
        token = share_token(settings, job, int(time.time()) + 600, source=False)
        visit.page.route("**/s/*", fail_twice)
        visit.page.goto(f"{visit.service.url}/s/{token}")
        shown = visit.page.locator(".card.job")
        expect(visit.page.get_by_role("alert")).to_be_visible()
        expect(shown).to_have_attribute("data-status", "accepted")

    expect(shown).to_have_attribute("data-status", "completed")
    assert len(failures) == 2
    expect(visit.page.get_by_role("alert")).to_have_count(0)
