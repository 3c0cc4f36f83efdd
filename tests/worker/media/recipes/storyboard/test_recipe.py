"""Layout, bounds, alternatives and argv of storyboards, without FFmpeg."""

from __future__ import annotations

import pytest

from common.model import MediaInfo, VideoInfo
from common.outputs.specs import StoryboardSpec
from worker.media import warning_codes
from worker.media.ffmpeg.clip import Clip
from worker.media.ffmpeg.plan import Done, FileFacts, Made, Step
from worker.media.recipes.shared import grid
from worker.media.recipes.storyboard import recipe


def clip(
    end: float | None = 95.0, width: int = 1920, height: int = 1080, **words: object
) -> Clip:
    video = VideoInfo(
        index=0,
        codec="h264",
        coded_width=width,
        coded_height=height,
        width=width,
        height=height,
        fps=25.0,
        longest_frame=0.04,
        **words,
    )
    return Clip("source", MediaInfo(container="mov", duration=end, video=video))


def spec(**words: object) -> StoryboardSpec:
    return StoryboardSpec(kind="storyboard", **words)


def drive(
    plan_clip: Clip,
    requested: StoryboardSpec,
    passes: list[list[float]],
    alternative: int = 0,
) -> tuple[list[Step], list[Made]]:
    """Run an alternative; each step finds frames at the given times of its clock."""
    run = recipe.plan(requested, plan_clip).alternatives[alternative].run()
    steps: list[Step] = []
    files: dict[str, FileFacts] = {}
    answer = None
    try:
        while True:
            step = next(run) if answer is None else run.send(answer)
            steps.append(step)
            out = b""
            if step.argv[-1].endswith(".nut") and passes:
                times = passes.pop(0)
                out = "".join(f"frame:0 pts_time:{t}\nm=1\n" for t in times).encode()
                if times:
                    files[step.argv[-1]] = FileFacts(1)
            answer = Done(0, out, "", files)
    except StopIteration as end:
        return steps, end.value


@pytest.mark.parametrize(
    ("words", "found", "told"),
    [
        ({"count": 5}, [0.0, 19.0, 38.0, 57.0, 76.0], ()),
        ({"count": 5}, [0.0, 38.0], (warning_codes.FEWER_FRAMES,)),
        ({"interval": 19.0}, [0.0, 38.0], ()),
    ],
)
def test_a_count_that_the_frames_do_not_reach_is_told(
    words: dict[str, object], found: list[float], told: tuple[str, ...]
) -> None:
    _, made = drive(clip(), spec(**words), [found], alternative=1)

    assert made[0].warnings == told


def test_only_keyframes_that_are_shown_reach_the_decoder() -> None:
    steps, made = drive(clip(), spec(), [[cell * 10.0 for cell in range(10)]])

    assert len(steps) == 2
    words = " ".join(steps[0].argv)
    assert "-skip_frame nokey" in words
    assert "noise=drop='if(not(key),1,if(gte(floor((pts*tb+0.001)/10)" in words
    assert "-discard" not in words
    assert made[-1].details["method"] == "keyframes"


def test_cells_without_a_keyframe_are_sought() -> None:
    found = [0.0, 10.0, 20.0, 30.0, 50.0, 60.0, 70.0, 80.0]

    steps, made = drive(clip(), spec(), [found, [40.02], [90.0]])

    seeks = [step.argv[step.argv.index("-ss") + 1] for step in steps[1:3]]
    assert seeks == ["40", "90"]
    assert made[-1].details["method"] == "keyframes+seeks"
    assert made[-1].details["tiles"] == 10
    assert made[-1].details["last_time"] == 90.0


def test_the_seek_to_the_end_is_not_bounded_by_the_stated_length() -> None:
    found = [cell * 10.0 for cell in range(9)]

    steps, _ = drive(clip(), spec(), [found, [90.0]])

    assert "-ss" in steps[1].argv
    assert "-t" not in steps[1].argv


def test_many_gaps_are_filled_by_decoding_all() -> None:
    found = [cell * 10.0 for cell in range(0, 200, 2)]
    every = [cell * 10.0 for cell in range(200)]

    steps, made = drive(clip(2000.0), spec(), [found, every])

    assert len(steps) == 3
    assert made[-1].details["method"] == "decode"


def test_packets_without_times_are_decoded_at_once() -> None:
    alternatives = recipe.plan(spec(), clip(bitstream_pts=False)).alternatives

    assert [alternative.name for alternative in alternatives] == [
        "decode",
        "decode_plain",
    ]


def test_tiles_carry_the_real_times() -> None:
    found = [0.02, 11.188, 20.8, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]

    _, made = drive(clip(), spec(), [found])

    texts = {one.name: one.text or "" for one in made}
    assert "00:00:11.188 --> 00:00:20.800" in texts["storyboard.vtt"]
    assert '"time": 11.188' in texts["storyboard.json"]


def test_an_empty_cell_repeats_its_tile_and_the_cue_goes_on() -> None:
    tile_grid = grid.lay(spec(), clip())

    tiles = grid.tiles(tile_grid, {0: 0.0, 1: 10.0, 4: 40.0}, 50.0)

    assert [(tile.start, tile.end) for tile in tiles] == [
        (0.0, 10.0),
        (10.0, 40.0),
        (40.0, 50.0),
    ]


def test_a_lying_length_ends_the_index_where_the_frames_end() -> None:
    _, made = drive(clip(720.0), spec(), [[0.0, 10.0, 20.0], []])

    assert made[-1].details["tiles"] == 3


def test_the_interval_grows_where_there_would_be_too_many_tiles() -> None:
    tile_grid = grid.lay(spec(interval=0.5), clip(20_000.0))

    assert tile_grid.cells == grid.MAX_TILES
    assert tile_grid.interval == 4.0
    assert warning_codes.INTERVAL_STRETCHED in tile_grid.warnings


@pytest.mark.parametrize("count", [1, 7, 100])
def test_count_gives_that_many_cells(count: int) -> None:
    assert grid.lay(spec(count=count), clip(95.3)).cells == count


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((1920, 1080), (320, 180)),
        ((1080, 1920), (320, 568)),
        ((100, 50), (100, 50)),
        ((100, 4000), (24, 960)),
    ],
)
def test_tiles_keep_their_shape_and_never_grow(
    size: tuple[int, int], box: tuple[int, int]
) -> None:
    tile_grid = grid.lay(spec(), clip(width=size[0], height=size[1]))

    assert (tile_grid.box.width, tile_grid.box.height) == box


def test_a_sheet_stays_within_what_readers_open() -> None:
    tile_grid = grid.lay(
        spec(width=640, columns=20, rows=20, interval=0.5),
        clip(1000.0, width=1080, height=1920),
    )

    assert tile_grid.rows * tile_grid.box.height <= 16_383
    assert (
        tile_grid.columns * tile_grid.rows * tile_grid.box.width * tile_grid.box.height
        <= 32_000_000
    )
    assert warning_codes.ROWS_REDUCED in tile_grid.warnings


def test_the_last_sheet_has_the_rows_that_it_needs() -> None:
    tile_grid = grid.lay(spec(columns=4, rows=2), clip(95.0))

    sheets = grid.sheets(tile_grid, 10, 95.0)

    assert [(one.columns, one.rows, one.cells) for one in sheets] == [
        (4, 2, 8),
        (4, 1, 2),
    ]
    assert [one.seconds for one in sheets] == [80.0, 15.0]


def test_the_open_run_of_gaps_touches_the_end() -> None:
    tile_grid = grid.lay(spec(), clip(95.0))

    assert grid.gaps(tile_grid, {0: 0.0, 1: 10.0, 4: 40.0, 5: 50.0, 6: 60.0}) == [
        (2, 3),
        (7, -1),
    ]
