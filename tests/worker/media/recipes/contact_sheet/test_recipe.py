"""Contact sheets: grid, times, and texts that never become filters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from common.errors import DecodeError
from common.model import MediaInfo, VideoInfo
from common.outputs.specs import ContactSheetSpec
from tests.worker.media.probe import boxes
from tests.worker.media.recipes.conftest import Render
from tests.worker.media.recipes.ramps import ffmpeg, luma, ramp, read_time, x264
from worker.media.engine import Rendered
from worker.media.ffmpeg import binary
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, FileFacts, Made, Step
from worker.media.recipes.contact_sheet import header, layout, recipe

ASSETS = Path(recipe.__file__).parents[2] / "assets"

HOSTILE = "';[v]movie=/etc/passwd[x];%{pts}:\\ \n\u202eend"


def clip(title: str | None = None) -> Clip:
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=640,
        coded_height=360,
        width=640,
        height=360,
        fps=29.97,
    )
    media = MediaInfo(container="mov", duration=100.0, size=1_500_000, video=video)
    return Clip("source", media, title=title)


def shown_times(done: Rendered, columns: int) -> list[float]:
    """Read the times off the frames of a bare sheet, 900 pixels wide, of a ramp."""
    made = done.files[0]
    picture = Image.open(made.path)
    width, height = made.details["tile_width"], made.details["tile_height"]
    gap = max(2, (900 // 64) // 3)
    left = (picture.width - columns * width - (columns - 1) * gap) // 2
    return [
        read_time(luma(picture, (left + x * (width + gap), top, width, height)))
        for row in range(made.details["rows"])
        for top in [14 + row * (height + gap)]
        for x in range(columns)
    ]


def test_frames_come_from_the_times_that_are_told(
    tmp_path: Path, render: Render
) -> None:
    source = ramp(tmp_path / "a.mp4", 40, *x264(50))

    done = render(
        source,
        kind="contact_sheet",
        columns=3,
        rows=2,
        width=900,
        timestamps=False,
        header=False,
    )

    details = done.files[0].details
    assert shown_times(done, 3) == pytest.approx(details["times"], abs=0.1)
    assert details["times"][0] == pytest.approx(5, abs=0.05)
    assert details["times"][-1] == pytest.approx(35, abs=0.05)


def test_a_hostile_title_is_only_text(tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "a.mp4", 4, *x264(25))

    done = render(source, HOSTILE, kind="contact_sheet", columns=2, rows=1)

    assert done.files[0].width == 1280
    assert [report.error for report in done.reports] == [None]


def test_no_text_of_the_user_is_in_the_words_for_ffmpeg() -> None:
    spec = ContactSheetSpec(kind="contact_sheet", columns=1, rows=1)
    run = recipe.plan(spec, clip(HOSTILE)).alternatives[0].run()
    tile = {"tile-001.png": FileFacts(1)}
    first = next(run)

    last = run.send(Done(0, b"", "frame:0 pts_time:1\n", tile))

    words = " ".join([*first.argv, *last.argv])
    assert "passwd" not in words
    assert words.count("drawtext") == words.count("expansion=none") == 3
    assert "passwd" in last.texts["title.txt"]
    assert "\n" not in last.texts["title.txt"]
    assert "\u202e" not in last.texts["title.txt"]


def test_a_video_of_few_frames_shows_each_once(
    sample: Path, tmp_path: Path, render: Render
) -> None:
    source = tmp_path / "nine.mp4"
    ffmpeg("-i", str(sample), "-t", "0.3", "-an", "-vf", "scale=160:90", str(source))

    done = render(source, kind="contact_sheet")

    details = done.files[0].details
    assert details["times"] == pytest.approx([n / 30 for n in range(9)], abs=0.001)
    assert (details["columns"], details["rows"]) == (4, 3)
    assert "fewer_frames" in done.warnings


def test_a_frame_that_takes_no_place_is_not_on_the_sheet(
    tmp_path: Path, render: Render
) -> None:
    source = ramp(tmp_path / "five.mp4", 1, *x264(25), rate=5)

    done = render(source, kind="contact_sheet", header=False)

    details = done.files[0].details
    assert (len(details["times"]), details["columns"], details["rows"]) == (5, 4, 2)
    sheet = Image.open(done.files[0].path).convert("L")
    behind_the_fifth = (20 + details["tile_width"] + 8, sheet.height // 2 + 8)
    darkest, lightest = sheet.crop((*behind_the_fifth, *sheet.size)).getextrema()
    assert lightest - darkest < 8


def drive(
    seen: list[float | None], told: str = "", **words: object
) -> tuple[list[Step], list[Made] | str]:
    """Run the best alternative; each seek shows a frame of that time, or none."""
    spec = ContactSheetSpec(kind="contact_sheet", rows=1, **words)
    run = recipe.plan(spec, clip()).alternatives[0].run()
    steps: list[Step] = []
    files = {f"tile-00{place}.png": FileFacts(1) for place in range(1, 9)}
    files["contact-sheet.jpg"] = FileFacts(1)
    answer = None
    try:
        while True:
            step = next(run) if answer is None else run.send(answer)
            steps.append(step)
            time = seen.pop(0) if seen else None
            log = "" if time is None else f"frame:0 pts_time:{time:.6f}\n"
            log += told
            answer = Done(0, b"", log, files)
    except StopIteration as end:
        return steps, end.value
    except DecodeError as error:
        return steps, str(error)


def test_the_stamps_tell_the_frames_real_times() -> None:
    steps, made = drive([12.4, 36.9, 61.001, 86.2], columns=4)

    stamps = steps[-1].texts["stamps.txt"].splitlines()
    assert [line.split("'")[1] for line in stamps] == ["0:12", "0:36", "1:01", "1:26"]
    assert made[0].details["times"] == [12.4, 36.9, 61.001, 86.2]


def test_stamps_have_the_decimals_that_tell_frames_apart() -> None:
    assert layout.stamps([0.0, 3.0], 100.0) == ["0:00", "0:03"]
    assert layout.stamps([0.0, 2.788], 9.0) == ["0:00.0", "0:02.8"]
    assert layout.stamps([0.0, 0.033333, 0.066667], 0.1) == [
        *("0:00.00", "0:00.03", "0:00.07")
    ]


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        # Frames that are on screen for long are no fault of the seeks.
        ([12.0, 12.0, 60.0, 60.0], 2),
        ([None, 36.0, 61.0, 86.0], None),
        ([86.0, 86.0, 86.0, 86.0], None),
    ],
)
def test_seeks_are_given_up_where_a_place_gets_no_frame_of_its_own(
    seen: list[float | None], found: int | None
) -> None:
    _, made = drive(seen, columns=4)

    if found is None:
        assert isinstance(made, str)
        assert made.startswith("seeks found no frame for ")
    else:
        assert len(made[0].details["times"]) == found


def test_what_damage_took_is_not_sought_by_decoding_all() -> None:
    _, made = drive([None, 36.0, 61.0, 86.0], "corrupt decoded frame", columns=4)

    assert made[0].details["times"] == [36.0, 61.0, 86.0]


def test_a_long_film_is_not_decoded_whole_for_one_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipe, "_DECODE_ALL_SECONDS", 99.0)

    _, made = drive([None, 36.0, 61.0, 86.0], columns=4)

    assert made[0].details["times"] == [36.0, 61.0, 86.0]
    assert made[0].warnings == ("fewer_frames",)


def test_where_seeks_find_too_little_the_video_is_decoded_from_its_start(
    tmp_path: Path, render: Render
) -> None:
    # Given an index that names frames as keyframes that are none
    source = ramp(tmp_path / "lies.mp4", 60, *x264(375))
    source.write_bytes(boxes.with_keyframes(source.read_bytes(), 1, 406, 751, 1156))
    bare = {"timestamps": False, "header": False}

    done = render(source, kind="contact_sheet", columns=3, rows=2, width=900, **bare)

    told = [(one.rung, one.error is None) for one in done.reports]
    assert told == [("seeks", False), ("from_start", True)]
    assert done.warnings == ["seek_unreliable"]
    times = done.files[0].details["times"]
    assert times == pytest.approx([7.5, 16.5, 25.5, 34.5, 43.5, 52.5], abs=0.05)
    assert shown_times(done, 3) == pytest.approx(times, abs=0.1)


def test_a_raw_stream_is_decoded_once(tmp_path: Path, render: Render) -> None:
    source = ramp(tmp_path / "a.h264", 6, *x264(50))

    done = render(source, kind="contact_sheet", columns=3, rows=2)

    assert [one.rung for one in done.reports] == ["from_start"]
    assert done.files[0].details["times"] == pytest.approx(
        [0.3 + 5.4 * (place + 0.5) / 6 for place in range(6)], abs=0.041
    )


def test_a_video_of_unknown_length_fills_the_sheet(
    tmp_path: Path, render: Render
) -> None:
    source = ramp(tmp_path / "a.webp", 2, "-c:v", "libwebp_anim", rate=10)

    done = render(source, kind="contact_sheet", columns=3, rows=2)

    assert len(done.files[0].details["times"]) == 6
    assert done.warnings == []


def test_a_file_of_a_time_before_is_not_shown_for_one_that_gave_no_frame() -> None:
    spec = ContactSheetSpec(kind="contact_sheet", columns=3, rows=1)
    alternatives = {
        alternative.name: alternative
        for alternative in recipe.plan(spec, clip()).alternatives
    }
    run = alternatives["seeks_few"].run()
    files = {f"tile-{place:03d}.png": FileFacts(1) for place in (1, 2)}
    next(run)
    run.send(Done(0, b"", "frame:0 pts_time:0.1\n", files))
    run.send(Done(0, b"", "frame:0 pts_time:-33\n", files))

    last = run.send(Done(1, b"", "", files))

    assert "tile=1x1" in " ".join(last.argv)


def test_excluding_all_of_a_short_video_is_told() -> None:
    spec = ContactSheetSpec(kind="contact_sheet", exclude_start=60, exclude_end=60)

    plan = recipe.plan(spec, clip())

    assert "exclusion_ignored" in plan.alternatives[0].warnings
    assert recipe.times(spec, clip())[0] == pytest.approx(100 / 32)


def test_what_is_transparent_shows_the_background(
    tmp_path: Path, render: Render
) -> None:
    source = tmp_path / "clear.webm"
    graph = "color=red:s=160x90:r=5:d=1,format=yuva420p,geq=lum=80:cb=90:cr=240:a=0"
    ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "libvpx-vp9", str(source))
    words = {"header": False, "timestamps": False, "columns": 1, "rows": 1}

    done = render(source, kind="contact_sheet", background="#ffffff", **words)

    sheet = Image.open(done.files[0].path).convert("RGB")
    assert min(low for low, _ in sheet.getextrema()) > 240


def test_the_header_tells_length_size_and_codec() -> None:
    title, facts = header.lines(clip("a\tname.mp4"), 40)

    assert title == "a name.mp4"
    assert [fact.strip() for fact in facts.split("\u00b7")] == [
        "1:40",
        "640\u00d7360",
        "H.264",
        "29.97 fps",
        "1.4 MiB",
    ]


@pytest.mark.parametrize(
    ("kind", "told"),
    [("hdr10", "HDR10"), ("hlg", "HLG"), ("dolby_vision", "Dolby Vision")],
)
def test_the_header_tells_the_kind_of_hdr(kind: str, told: str) -> None:
    plain = clip("a.mp4")
    video = plain.video.model_copy(update={"hdr": kind})
    media = plain.media.model_copy(update={"video": video})

    _, facts = header.lines(replace(plain, media=media), 40)

    assert told in [fact.strip() for fact in facts.split("\u00b7")]


def test_emoji_leave_a_name_without_a_gap() -> None:
    assert header.clean("my \U0001f600 trip \U0001f44d\U0001f3fd.mp4", 40) == (
        "my trip .mp4"
    )


def test_a_long_name_is_cut_in_its_middle() -> None:
    text = header.clean("a" * 50 + "b" * 50 + ".mp4", 30)

    assert len(text) == 30
    assert text.startswith("aaa")
    assert text.endswith("bbb.mp4")


def test_a_long_name_in_wide_letters_is_cut_sooner() -> None:
    text = header.clean("\u6620" * 60 + ".mp4", 30)

    assert header.breadth(text) <= 30
    assert len(text) < 24
    assert text.endswith("\u6620.mp4")


def test_the_font_draws_letters_of_many_scripts() -> None:
    font = ImageFont.truetype(ASSETS / layout.FONT, 20)

    def drawn(letter: str) -> bytes:
        return bytes(font.getmask(letter))

    # U+0530 is no letter: it shows the box of what the font lacks.
    letters = "aß\u0394\u0416\u05d0\u0645\u10d0\u65e5\u6c49\u6f22\u306e\u30c6\ud55c"
    assert [letter for letter in letters if drawn(letter) == drawn("\u0530")] == []
    assert any(drawn("\u0530"))


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (5.27, 0, "0:05"),
        (65.0, 0, "1:05"),
        (3661.0, 0, "1:01:01"),
        (2.3, 1, "0:02.3"),
        (5.27, 2, "0:05.27"),
        (2.788, 1, "0:02.8"),
        (59.97, 1, "1:00.0"),
        (3599.9997, 0, "1:00:00"),
    ],
)
def test_times_are_written_for_people(seconds: float, decimals: int, text: str) -> None:
    assert header.length(seconds, decimals) == text


def test_the_header_rounds_the_length() -> None:
    media = clip().media.model_copy(update={"duration": 2.999})

    _, facts = header.lines(replace(clip(), media=media), 40)

    assert facts.startswith("0:03.0 ")


def test_the_largest_sheet_has_room_for_what_its_encoder_reserves(
    tmp_path: Path, render: Render
) -> None:
    """At 20 bytes a pixel more than decoders may have, and hardly any of it used."""
    source = tmp_path / "tall.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x400:r=5:d=4", source)

    done = render(source, kind="contact_sheet", width=7680, columns=2, rows=2)

    with Image.open(done.files[0].path) as sheet:
        assert sheet.width == 7680
        assert 20 * sheet.width * sheet.height > binary.RESIDENT_BYTES
