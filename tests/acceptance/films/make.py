"""Make films, each once: a folder keeps what was made, by the hash of its recipe."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
from PIL import Image

from tests.acceptance import marks
from tests.acceptance.films import rewrite
from tests.acceptance.films.film import Film, Sound

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("FRAMEMILL_TEST_FILMS") or ROOT / ".ci-work" / "films")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
QUIET = ("-hide_banner", "-nostdin", "-v", "error", "-y")


@lru_cache(maxsize=1)
def _maker() -> bytes:
    """Return the hash of what makes films: this code, and FFmpeg's version."""
    version = imageio_ffmpeg.get_ffmpeg_version()
    made = hashlib.sha256(version.encode())
    for module in (__file__, rewrite.__file__, marks.__file__):
        made.update(Path(module).read_bytes())
    return made.digest()


def key(film: Film) -> str:
    """Return the name of the folder that keeps the film."""
    return hashlib.sha256(_maker() + film.recipe.encode()).hexdigest()[:20]


def film(one: Film, cache: Path = CACHE) -> Path:
    """Return the path of a film, making it unless the cache has it."""
    place = cache / key(one)
    if not (place / one.file).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = _make(one, Path(scratch))
            kept = Path(scratch) / "kept"
            kept.mkdir()
            made.rename(kept / one.file)
            try:
                kept.rename(place)
            except OSError:
                # Another process made it at the same time.
                if not (place / one.file).is_file():
                    raise
    return place / one.file


def write(films: Iterable[Film], folder: Path, cache: Path = CACHE) -> None:
    """Write films and `films.json`, which describes them, to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = list(films)
    with ThreadPoolExecutor(os.cpu_count() or 1) as makers:
        paths = makers.map(lambda one: film(one, cache), chosen)
        for one, path in zip(chosen, paths, strict=True):
            shutil.copyfile(path, folder / one.file)
    entries = [one.description() for one in chosen]
    text = json.dumps(entries, indent=1)
    (folder / "films.json").write_text(text + "\n", encoding="utf-8")


def _make(one: Film, scratch: Path) -> Path:
    suffix = one.encoded_as or one.file.rpartition(".")[2]
    path = scratch / f"encoded.{suffix}"
    if one.video[0] == "pillow":
        rewrite.save_animation(list(frames(one)), path, *one.video[1:])
    elif one.video[0] == "stored":
        shutil.copyfile(ROOT / one.video[1], path)
    else:
        _encode(one, path)
    for number, step in enumerate(one.steps):
        target = scratch / f"step-{number}.{step.suffix}"
        getattr(rewrite, step.function)(path, target, *step.options)
        path = target
    return path


def frames(one: Film) -> Iterator[Image.Image]:
    """Yield the pictures of a film as they are drawn."""
    for number in range(one.drawn):
        shot = number // one.shot if one.shot else 0
        yield marks.draw(number, one.size, hue=shot * 67 % 200)


def _encode(one: Film, path: Path) -> None:
    """Draw the frames into FFmpeg's standard input."""
    width, height = one.size
    picture = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}")
    wait = max(-one.sound.start, 0) if one.sound else 0
    argv = [
        FFMPEG,
        *QUIET,
        "-itsoffset",
        str(wait),
        *picture,
        "-framerate",
        str(one.fps),
        "-i",
        "pipe:0",
    ]
    argv += _sound(one.sound, float(one.drawn / one.fps)) if one.sound else []
    argv += [*one.video, *one.mux, str(path)]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=errors) as ffmpeg:
            assert ffmpeg.stdin is not None
            try:
                for picture_ in frames(one):
                    ffmpeg.stdin.write(picture_.tobytes())
            except BrokenPipeError:
                pass  # The status says it.
            ffmpeg.stdin.close()
        errors.seek(0)
        if ffmpeg.returncode:
            raise RuntimeError(f"{one.name}: {errors.read().decode()}")


def _sound(sound: Sound, film_seconds: float) -> list[str]:
    seconds = film_seconds if sound.duration is None else sound.duration
    tone = f"sine=frequency=330:sample_rate=48000:duration={seconds:.6f}"
    maps = ["-map", "0:v", "-map", "1:a"]
    if sound.stream == 0:
        maps = maps[2:] + maps[:2]
    offset = ["-itsoffset", str(sound.start)] if sound.start > 0 else []
    return [*offset, "-f", "lavfi", "-i", tone, *maps, *sound.codec]
