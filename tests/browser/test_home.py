"""The first page: a video becomes pictures while a person watches."""

from __future__ import annotations

import base64
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect
from playwright.sync_api import TimeoutError as NotInTime

from tests.browser.conftest import Visit
from tests.browser.inspection import assert_accessible, assert_fits, assert_quiet
from tests.chaos.service import until
from tests.conftest import SAMPLE

pytestmark = pytest.mark.browser
SLOW = 30_000  # milliseconds, on a busy machine
expect.set_options(timeout=SLOW)
DROP = """({name, data}) => {
    const bytes = Uint8Array.from(atob(data), one => one.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], name, {type: "video/mp4"}));
    const drop = new DragEvent("drop",
        {dataTransfer: files, bubbles: true, cancelable: true});
    document.getElementById("drop").dispatchEvent(drop);
}"""


def card(visit: Visit, name: str) -> Locator:
    return visit.page.get_by_role("article", name=name, exact=True).first


def choose(visit: Visit, *files: Path) -> None:
    visit.page.locator("#files").set_input_files(list(files))


def await_status(visit: Visit, name: str, status: str) -> Locator:
    shown = card(visit, name)
    expect(shown).to_have_attribute("data-status", status)
    return shown


def assert_loaded(picture: Locator) -> None:
    expect(picture).to_be_visible()
    picture.evaluate("picture => picture.decode()")

    assert picture.evaluate("picture => picture.naturalWidth") > 0


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return the sample with 30 MB of padding, which an MP4 may have."""
    padding = 30_000_000
    path = tmp_path / "large.mp4"
    box = struct.pack(">I4s", padding + 8, b"free") + bytes(padding)
    path.write_bytes(SAMPLE.read_bytes() + box)
    return path


@contextmanager
def slow_upload(visit: Visit, large: Path) -> Iterator[Locator]:
    """Upload a file at 2 MB/s; yields its row once its speed is shown."""
    session = visit.page.context.new_cdp_session(visit.page)

    def limit(bytes_a_second: int) -> None:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1}
        conditions["uploadThroughput"] = bytes_a_second
        session.send("Network.emulateNetworkConditions", conditions)

    limit(2_000_000)
    try:
        choose(visit, large)
        row = card(visit, large.name)
        expect(row.get_by_text("/s,")).to_be_visible()
        yield row
    finally:
        limit(-1)


def test_a_dropped_video_becomes_a_picture_and_a_gif_without_a_reload(
    visit: Visit,
) -> None:
    visit.open("/")
    data = base64.b64encode(SAMPLE.read_bytes()).decode()
    visit.page.evaluate(DROP, {"name": "dropped.mp4", "data": data})

    done = await_status(visit, "dropped.mp4", "completed")
    assert_loaded(done.locator("[data-output=thumbnail] figure img"))
    assert_loaded(done.locator("[data-output=animation] figure img"))
    expect(done.get_by_text("Frame at").first).to_be_visible()
    expect(done.get_by_text("Other good frames")).to_be_visible()
    assert_accessible(visit)
    assert_quiet(visit)


WATCH = """(name) => {
    const place = `article.job[aria-label="${name}"] [data-output=thumbnail] img`;
    const look = async () => {
        const picture = document.querySelector(place);
        if (!picture) return setTimeout(look, 10);
        await picture.decode();
        window.seen = Date.now();
    };
    window.seen = null;
    look();
}"""


def test_a_picture_shows_within_a_second_of_being_ready(
    visit: Visit, tmp_path: Path
) -> None:
    visit.open("/")
    late = []
    for name in ("one.mp4", "two.mp4", "three.mp4"):
        clip = tmp_path / name
        clip.write_bytes(SAMPLE.read_bytes())
        visit.page.evaluate(WATCH, name)
        choose(visit, clip)
        seen = until(lambda: visit.page.evaluate("window.seen"), 120, "the picture")
        job = (card(visit, name).get_attribute("id") or "").removeprefix("job-")
        outputs = visit.service.get(f"/v1/jobs/{job}")["outputs"]
        ready = outputs[0]["attempts"][-1]["at"]
        late.append(seen / 1000 - datetime.fromisoformat(ready).timestamp())

    print(f"the picture shows {min(late):.2f} s after it is ready")
    # The least of three: what else runs on this machine only adds to it.
    assert 0 < min(late) < 1


@contextmanager
def scripts_held(visit: Visit) -> Iterator[None]:
    """Open the page, whose script comes when the block ends."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    visit.page.route("**/home.js*", hold)
    with visit.page.expect_request("**/home.js*"):
        visit.page.goto(visit.service.url + "/", wait_until="commit")
    yield
    for one in held:
        one.continue_()


def choose_by_keyboard(visit: Visit) -> None:
    # Chromium drops keys that are pressed before it has painted a page: they are
    # pressed again, as a person would do.
    deadline = time.monotonic() + 120
    while True:
        visit.page.get_by_label("Choose files").focus()
        try:
            with visit.page.expect_file_chooser(timeout=10_000) as chooser:
                visit.page.keyboard.press("Enter")
            break
        except NotInTime:
            assert time.monotonic() < deadline, "no file can be chosen by keyboard"
    chooser.value.set_files(SAMPLE)


def test_a_file_that_is_chosen_before_the_scripts_run_is_taken(visit: Visit) -> None:
    with scripts_held(visit):
        choose(visit, SAMPLE)

    await_status(visit, "sample.mp4", "completed")


def test_a_file_is_chosen_by_keyboard(visit: Visit) -> None:
    visit.open("/")
    choose_by_keyboard(visit)

    expect(card(visit, "sample.mp4")).to_be_in_viewport()


def test_a_file_is_chosen_by_keyboard_before_the_scripts_run(visit: Visit) -> None:
    with scripts_held(visit):
        choose_by_keyboard(visit)

    await_status(visit, "sample.mp4", "completed")


def test_the_button_that_chooses_files_shows_that_it_has_the_focus(
    visit: Visit,
) -> None:
    visit.open("/")
    button = visit.page.get_by_text("Choose files")
    style = "button => getComputedStyle(button).outlineStyle"
    before = button.evaluate(style)

    visit.page.get_by_label("Choose files").focus()

    assert (before, button.evaluate(style)) == ("none", "solid")
    with visit.page.expect_file_chooser():
        button.click()


def test_an_upload_pauses_and_goes_on_after_a_reload(visit: Visit, large: Path) -> None:
    visit.open("/")
    with slow_upload(visit, large) as row:
        expect(row.get_by_role("progressbar")).to_be_visible()
        row.get_by_role("button", name="Pause").click()
        expect(row.get_by_text("Paused")).to_be_visible()
        row.get_by_role("button", name="Continue").click()
        expect(row.get_by_text("Uploading")).to_be_visible()
        visit.page.reload()
        expect(card(visit, "large.mp4").get_by_text("Uploading")).to_be_visible()

    await_status(visit, "large.mp4", "completed")
    created = [one for one in visit.answers if one.request.method == "POST"]
    assert len(created) == 1, "the reloaded page went on with the same upload"


def test_an_upload_survives_the_death_of_the_api(visit: Visit, large: Path) -> None:
    visit.open("/")
    with slow_upload(visit, large) as row:
        visit.service.restart("api")
        visit.service.await_ready()
        expect(row.get_by_text("/s,")).to_be_visible()

    await_status(visit, "large.mp4", "completed")


def test_a_failing_job_says_why_in_plain_words(visit: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "letter.mp4"
    broken.write_text("Dear reader, this is no video.\n" * 100)
    visit.open("/")
    choose(visit, broken)

    failed = await_status(visit, "letter.mp4", "failed")
    expect(failed.locator(".notice.bad")).to_be_visible()
    expect(failed.get_by_role("button", name="Try again")).to_be_visible()
    assert failed.get_by_role("link", name="More about this error").count() == 1
    assert_accessible(visit)
    assert_quiet(visit)


def test_an_address_that_is_none_is_explained(visit: Visit) -> None:
    visit.open("/")
    visit.page.locator("#source").fill("clip.mp4")
    visit.page.get_by_role("button", name="Make pictures").click()

    expect(visit.page.locator("#address-fault")).to_contain_text("s3://bucket/key")


def test_a_refused_address_is_explained_once(visit: Visit) -> None:
    visit.open("/")
    visit.page.locator("#source").fill("http://127.0.0.1:1/clip.mp4")
    visit.page.get_by_role("button", name="Make pictures").click()

    said = visit.page.locator("#address-fault")
    expect(said).to_contain_text("upload the file")
    assert said.inner_text().lower().count("upload the file") == 1


def test_an_address_that_is_sent_twice_makes_one_job(visit: Visit) -> None:
    sent: list[Route] = []
    # Playwright can not register a list's own method.
    visit.page.route("**/v1/jobs", lambda route: sent.append(route))  # noqa: PLW0108
    visit.open("/")
    visit.page.locator("#source").fill("s3://framemill/clips/clip.mp4")
    make = visit.page.get_by_role("button", name="Make pictures")
    make.dblclick()
    expect(make).to_have_attribute("aria-disabled", "true")

    assert len(sent) == 1
    sent[0].fulfill(status=503, json={"detail": "the service is busy"})
    expect(visit.page.locator("#address-fault")).to_have_text("The service is busy")
    expect(make).not_to_have_attribute("aria-disabled", "true")


def test_a_refused_upload_says_why(visit: Visit) -> None:
    problem = {"detail": "the store is full", "hint": "delete old jobs"}
    visit.page.route("**/v1/tus", lambda route: route.fulfill(status=400, json=problem))
    visit.open("/")
    choose(visit, SAMPLE)

    fault = visit.page.locator(".upload .fault")
    expect(fault).to_have_text("The store is full. Delete old jobs")


def test_a_discarded_upload_leaves_a_list_that_says_so(
    visit: Visit, large: Path
) -> None:
    nothing = {"jobs": [], "next": None}
    visit.page.route("**/v1/jobs?*", lambda route: route.fulfill(json=nothing))
    visit.open("/")
    with slow_upload(visit, large) as row:
        expect(visit.page.locator("#none")).to_be_hidden()
        row.get_by_role("button", name="Discard").click()

    expect(visit.page.locator("#none")).to_be_visible()
    expect(visit.page.get_by_role("heading", name="Recent")).to_be_focused()


def test_a_preset_is_chosen_and_shown_for_curl_and_python(visit: Visit) -> None:
    visit.open("/")
    visit.page.get_by_role("radio", name="Player").check()
    visit.page.get_by_text("The same from a terminal").click()

    commands = visit.page.locator(".command code").all_inner_texts()
    assert "preset=scrubber" in commands[0]
    assert '{"preset": "scrubber"}' in commands[1]


def test_a_result_is_copied_as_link_markdown_and_html(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.open("/")
    choose(visit, SAMPLE)
    done = await_status(visit, "sample.mp4", "completed")
    row = done.locator("[data-output=thumbnail] .copy")
    copied = []
    for name in ("Link", "Markdown", "HTML"):
        row.get_by_role("button", name=name).click()
        copied.append(visit.page.evaluate("navigator.clipboard.readText()"))

    link, markdown, html = copied
    assert link.startswith(visit.service.url)
    assert markdown == f"![sample.mp4: thumbnail]({link})"
    assert html == (
        f'<img src="{link}" width="640" height="360" alt="sample.mp4: thumbnail">'
    )


def test_the_storyboard_shows_over_the_seek_bar(visit: Visit) -> None:
    visit.open("/")
    visit.page.get_by_role("radio", name="Player").check()
    choose(visit, SAMPLE)
    done = await_status(visit, "sample.mp4", "completed")
    bar = done.locator(".plyr__progress input")
    expect(bar).to_be_visible()
    bar.hover()

    tile = done.locator(".plyr__preview-thumb img")
    expect(tile.first).to_be_visible()
    assert "storyboard" in (tile.first.get_attribute("src") or "")
    assert_quiet(visit)


def test_a_phone_has_room_for_the_seek_bar(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.open("/")
    visit.page.get_by_role("radio", name="Player").check()
    choose(visit, SAMPLE)
    done = await_status(visit, "sample.mp4", "completed")
    bar = done.locator(".plyr__progress input")
    expect(bar).to_be_visible()

    box = bar.bounding_box()
    assert box is not None
    assert box["width"] > 80
    expect(done.locator(".plyr__volume input")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_in_light_and_in_dark(visit: Visit, scheme: str) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visit.open("/")

    shade = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert shade == {"light": "rgb(248, 248, 251)", "dark": "rgb(18, 19, 24)"}[scheme]
    assert_fits(visit)
    assert_accessible(visit)
    assert_quiet(visit)


def test_german_is_chosen_and_stays(visit: Visit) -> None:
    visit.open("/")
    visit.page.get_by_label("Language").select_option("de")
    heading = visit.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Bilder aus Videos machen")
    visit.page.reload()

    expect(heading).to_have_text("Bilder aus Videos machen")
    assert visit.page.evaluate("document.documentElement.lang") == "de"


def test_the_first_view_is_small(visit: Visit) -> None:
    visit.open("/")
    frame = ("document", "script", "stylesheet")
    # Without the pictures of jobs, which no page can shrink.
    sent = {
        one.url: (one.request.resource_type, one.request.sizes())
        for one in visit.answers
        if one.request.resource_type in {*frame, "fetch"} or "/static/" in one.url
    }
    bodies = [size["responseBodySize"] for kind, size in sent.values() if kind in frame]
    all_of_it = sum(
        size["responseBodySize"] + size["responseHeadersSize"]
        for _, size in sent.values()
    )

    assert len(bodies) > 10
    assert sum(bodies) < 100_000
    print(f"the first view is {sum(bodies)} bytes, and {all_of_it} with all headers")
    assert all_of_it < 150_000


def test_the_first_view_is_soon_ready_for_use(visit: Visit) -> None:
    def open_it() -> float:
        visit.page.goto(visit.service.url + "/", wait_until="commit")
        # The scripts write the presets, and then listen for files.
        visit.page.locator("#wanted input").first.wait_for()
        visit.page.locator("#wanted .command pre").first.wait_for(state="attached")
        return float(visit.page.evaluate("performance.now()"))

    took = min(open_it() for _ in range(5))
    print(f"the first view is ready for use after {took:.0f} ms")
    # 1000 ms on a machine of its own; other tests may run beside this one.
    assert took < 5000
