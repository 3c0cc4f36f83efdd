"""The rows of the table: the work, who does it, and the targets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import starmap
from typing import Any

from tests.bench import api, machine, scaling
from tests.bench.bench import EARLIER, LOCAL, SLOW_LINE, THIS, Bench, Side, job, jobs
from tests.bench.builds import Files
from tests.bench.inputs import CLIPS, FILM_SECONDS, WINDOW_SECONDS
from tests.bench.peers import together
from tests.bench.results import Row, Sample, Target

FILM, SHORT, WINDOWS = "film.mp4", "film-10.mp4", "windows-12.mp4"
HALF = FILM_SECONDS / 2
_COUNT = 12
# SSIM of every third snippet says as much as that of all.
_JUDGED = range(0, _COUNT, 3)

STILL = [{"kind": "thumbnail", "time": "50%"}]
AUTO = [{"kind": "thumbnail", "policy": "auto"}]
PAIR = [*STILL, {"kind": "animation", "start": HALF, "duration": 5}]
STORYBOARD = [{"kind": "storyboard", "interval": 10}]
SNIPPETS = [{"kind": "snippets", "window": WINDOW_SECONDS}]
# Other sizes and times than PAIR, within what PAIR has read.
_OTHERS = [
    {"kind": "thumbnail", "time": "50%", "width": 480},
    {"kind": "animation", "start": HALF + 1, "duration": 3, "width": 240},
]


def rows() -> list[Row]:
    """Return every row."""
    return [
        _still(),
        Row(
            "auto",
            "best still, chosen",
            [FILM],
            jobs(FILM, AUTO) | {"immich": lambda b: b.peers.poster(b.film(FILM))},
            [Target("share", most=0.03), Target("cpu", "immich"), *_shown(EARLIER)],
        ),
        _pair(),
        Row(
            "again",
            "the same film again, other sizes and times",
            [FILM],
            {THIS: _again},
            [Target("read", most=0), Target("wall"), Target("cpu")],
        ),
        _storyboard(),
        *_on_a_slow_line(),
        *_containers(),
        _by_url(),
        *_clips(),
        _snippets(),
        *api.rows(),
        *machine.local_rows(FILM, PAIR, HALF),
        *machine.rows(FILM, [STILL, AUTO, PAIR, STORYBOARD], WINDOWS),
        *scaling.rows(FILM, STORYBOARD, "windows-6.mp4", SNIPPETS),
        *_growth(),
    ]


def _shown(side: str) -> list[Target]:
    return [Target("cpu", side), Target("wall", side)]


def _still() -> Row:
    sides = jobs(FILM, STILL) | {
        "10 s clip": job(SHORT, STILL),
        "ffmpeg": lambda b: b.peers.still(b.film(FILM), HALF),
        "ffmpegthumbnailer": lambda b: b.peers.thumbnailer(b.film(FILM)),
    }
    targets = [
        Target("wall", EARLIER, most=1 / 8),
        Target("wall", "10 s clip", most=1.3),
        Target("cpu", EARLIER, most=1 / 10),
        Target("share", most=0.01),
        Target("cpu", "ffmpeg"),
        Target("cpu", "ffmpegthumbnailer"),
    ]
    return Row("still", "still at 50 %", [FILM, SHORT], sides, targets)


def _pair() -> Row:
    def prototype(bench: Bench) -> Sample:
        commands = bench.peers.still_and_gif(bench.film(FILM), HALF, HALF)
        return together(bench.peers.download(bench.s3.link(FILM)), commands)

    sides = jobs(FILM, PAIR) | {
        "ffmpeg": lambda b: b.peers.still_and_gif(b.film(FILM), HALF, HALF),
        "download, ffmpeg": prototype,
    }
    targets = [
        Target("cpu", EARLIER, most=1 / 2),
        Target("share", most=0.02),
        *_shown("ffmpeg"),
        *_shown("download, ffmpeg"),
    ]
    return Row("pair", "still at 50 % and 5 s GIF", [FILM], sides, targets)


def _again(bench: Bench) -> Sample:
    one = bench.build(THIS)
    one.job(FILM, PAIR, keep=True)
    return one.job(FILM, _OTHERS)


def _storyboard() -> Row:
    """Return the row of the storyboard, whose tiles must be those of a whole copy."""
    sheets: dict[str, Files] = {}

    def remember(files: Files) -> Mapping[str, float]:
        sheets["local"] = _pictures(files)
        return {}

    def compare(files: Files) -> Mapping[str, float]:
        return {"same": float(sheets.get("local") == _pictures(files))}

    def this(bench: Bench) -> Sample:
        if "local" not in sheets:
            job(FILM, STORYBOARD, side=LOCAL, judge=remember)(bench)
        return job(FILM, STORYBOARD, judge=compare)(bench)

    sides: dict[str, Side] = {
        THIS: this,
        EARLIER: job(FILM, STORYBOARD, side=EARLIER),
        "keyframe pass": lambda b: b.peers.storyboard(b.film(FILM), keyframes=True),
        "full decode": lambda b: b.peers.storyboard(b.film(FILM), keyframes=False),
    }
    targets = [
        Target("cpu", "full decode", most=1 / 40),
        Target("cpu", "keyframe pass", most=1 / 4),
        Target("share", most=0.05),
        Target("same", least=1),
        *_shown(EARLIER),
    ]
    text = "storyboard, a tile every 10 s"
    return Row("storyboard", text, [FILM], sides, targets, slow=True)


def _pictures(files: Files) -> Files:
    return {name: body for name, body in files.items() if name[1].endswith(".jpg")}


def _on_a_slow_line() -> list[Row]:
    work = {
        "still": (STILL, 1 / 20),
        "auto": (AUTO, 1 / 10),
        "pair": (PAIR, 1 / 8),
        "storyboard": (STORYBOARD, 1 / 3),
    }
    return [
        Row(
            f"{name}-50",
            f"{name}, S3 at 50 MB/s",
            [FILM],
            jobs(FILM, outputs, SLOW_LINE),
            [Target("wall", EARLIER, most=most)],
            slow=True,
        )
        for name, (outputs, most) in work.items()
    ]


def _containers() -> list[Row]:
    """Return the rows of the film in other containers, with the bounds of MP4."""
    shares = {
        "still": (STILL, 0.01),
        "auto": (AUTO, 0.03),
        "pair": (PAIR, 0.02),
        "storyboard": (STORYBOARD, 0.05),
    }
    wanted = [
        (name, container)
        for container in ("mkv", "fragmented.mp4")
        for name in ("still", "auto", "pair", "storyboard")
    ]

    def row(name: str, container: str) -> Row:
        film, (outputs, share) = f"film.{container}", shares[name]
        sides: dict[str, Side] = {THIS: job(film, outputs)}
        targets = [Target("share", most=share)]
        if name in {"still", "pair"}:
            sides = dict(jobs(film, outputs))
            bound = {"still": 1 / 10, "pair": 1 / 2}[name]
            targets.append(Target("cpu", EARLIER, most=bound))
        if name == "still":
            targets.append(Target("wall", EARLIER, most=1 / 8))
        label = f"{name}-{container.removesuffix('.mp4')}"
        text = f"{name}, film as {container.replace('.', ' ')}"
        return Row(label, text, [film], sides, targets, slow=name == "storyboard")

    ts = Row(
        "still-ts",
        "still, film as ts",
        ["film.ts"],
        {THIS: job("film.ts", STILL)},
        [Target("share", most=0.05), Target("cpu"), Target("wall")],
    )
    return [*starmap(row, wanted), ts]


def _by_url() -> Row:
    def side(name: str) -> Side:
        def act(bench: Bench) -> Sample:
            source = {"url": bench.s3.link(FILM)}
            return bench.build(name).job(FILM, STILL, source=source)

        return act

    targets = [
        Target("wall", EARLIER, most=1 / 8),
        Target("cpu", EARLIER, most=1 / 10),
        Target("share", most=0.01),
    ]
    sides = {name: side(name) for name in (THIS, EARLIER)}
    return Row("still-url", "still, film by URL", [FILM], sides, targets)


def _clips() -> list[Row]:
    def gifs(bench: Bench) -> Sample:
        one, samples = bench.build(THIS), []
        for name in CLIPS:

            def judge(files: Files, name: str = name) -> Mapping[str, float]:
                (made,) = files.values()
                return {"ssim": _ssim(bench, made, name)}

            wanted = [{"kind": "animation", "start": 0, "duration": 5}]
            samples.append(one.job(name, wanted, judge=judge))
        return _mean_ssim(samples)

    def pairs(bench: Bench) -> Sample:
        samples = []
        for name in CLIPS:
            found = bench.peers.gif(bench.film(name), 0)
            ssim = _ssim(bench, bench.peers.file("pair.gif"), name)
            samples.append(found | {"ssim": ssim})
        return _mean_ssim(samples)

    peer = "palettegen pair"
    still = jobs(SHORT, STILL) | {"ffmpeg": lambda b: b.peers.still(b.film(SHORT), 5)}
    pair: dict[str, Side] = jobs(SHORT, None) | {
        "ffmpeg": lambda b: b.peers.still_and_gif(b.film(SHORT), 5, 1)
    }
    return [
        Row(
            "clip-still",
            "still of a 10 s clip",
            [SHORT],
            still,
            [Target("cpu", "ffmpeg", most=2), *_shown(EARLIER)],
        ),
        Row(
            "clip-default",
            "default pair of a 10 s clip",
            [SHORT],
            pair,
            [Target("cpu", "ffmpeg", most=0.45), *_shown(EARLIER)],
        ),
        Row(
            "gif",
            f"5 s GIFs of {len(CLIPS)} clips",
            CLIPS,
            {THIS: gifs, peer: pairs},
            [
                Target("cpu", peer, most=0.5),
                Target("made", peer, most=0.7),
                Target("ssim", peer, least=1),
            ],
        ),
    ]


def _ssim(bench: Bench, made: bytes, name: str) -> float:
    return bench.quality.ssim(made, bench.film(name), 0, fps=15)


def _mean_ssim(samples: list[dict[str, float]]) -> Sample:
    return together(*samples) | {
        "ssim": sum(one["ssim"] for one in samples) / len(samples)
    }


def _snippets() -> Row:
    def ssim(bench: Bench, made: list[bytes]) -> float:
        found = [
            bench.quality.ssim(
                made[number],
                bench.film(WINDOWS),
                number * WINDOW_SECONDS,
                fps=10,
            )
            for number in _JUDGED
        ]
        return sum(found) / len(found)

    def this(bench: Bench) -> Sample:
        def judge(files: Files) -> Mapping[str, float]:
            made = [files[name] for name in sorted(files) if name[1].endswith(".gif")]
            return {"ssim": ssim(bench, made), "files": len(made)}

        return job(WINDOWS, SNIPPETS, judge=judge)(bench)

    def loop(bench: Bench) -> Sample:
        film = bench.film(WINDOWS)
        found, made = bench.peers.snippets(film, _COUNT, WINDOW_SECONDS)
        return found | {"ssim": ssim(bench, made)}

    peer = "AWS's loop"
    return Row(
        "snippets",
        f"{_COUNT} snippets of 30 s",
        [WINDOWS],
        {THIS: this, peer: loop},
        [
            Target("cpu", peer, most=0.5),
            Target("made", peer, most=1),
            Target("ssim", peer, least=1),
            Target("files", least=_COUNT),
        ],
        slow=True,
    )


def _growth() -> list[Row]:
    """Return the rows of the plot: the same work on films of several lengths."""
    lengths = {"180 min": 10800, "60 min": 3600, "20 min": 1200, "5 min": 300}
    lengths["1 min"] = 60
    start = {"kind": "animation", "start": "50%", "duration": 5}
    work: dict[str, tuple[Any, int]] = {
        "still": (STILL, 10800),
        "GIF": ([start], 10800),
        "storyboard": (STORYBOARD, 10800),
        "snippets": (SNIPPETS, 1200),
    }
    found = []
    for name, (outputs, most) in work.items():
        chosen = {k: f"film-{v}.mp4" for k, v in lengths.items() if v <= most}
        bound = 1.5 if name in {"still", "GIF"} else None
        found.append(
            Row(
                f"growth-{name.lower()}",
                f"{name} of a film of {next(iter(chosen))}",
                list(chosen.values()),
                {length: job(film, outputs) for length, film in chosen.items()},
                [Target("cpu", "1 min", most=bound), Target("read", "1 min")],
                slow=True,
                rounds=1 if bound is None else 3,
            )
        )
    return found
