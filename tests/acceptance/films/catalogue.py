"""The films: each condition at least once, pairs of conditions rather than all."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from typing import Any

from tests.acceptance.films.film import Film, Sound, Step

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "24", "-pix_fmt", "yuv420p")
FAST_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", *H264[-2:])
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "4", "-bf", "2", "-g", "15")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "4", "-bf", "2", "-g", "25")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "36")
VP9 += ("-b:v", "0", "-pix_fmt", "yuv420p")
AV1 = (
    "-c:v",
    "libaom-av1",
    "-usage",
    "realtime",
    "-cpu-used",
    "8",
    "-crf",
    "30",
    "-pix_fmt",
    "yuv420p",
)
MJPEG = ("-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p")
MP2 = ("-c:a", "mp2", "-b:a", "64k")
PCM = ("-c:a", "pcm_s16le")
AC3 = ("-c:a", "ac3", "-b:a", "96k")
MP3 = ("-c:a", "libmp3lame", "-b:a", "64k")
OPUS = ("-c:a", "libopus", "-b:a", "32k")
PALETTE = "split[a][b];[a]palettegen[p];[b][p]paletteuse"
GIF = ("-filter_complex", PALETTE)
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
NTSC = Fraction(30000, 1001)
FILM = Fraction(24000, 1001)


def hevc(**options: object) -> tuple[str, ...]:
    """Return the encoder's options for HEVC."""
    options = {"log-level": "error", "scenecut": 0, **options}
    return (*HEVC, "-x265-params", ":".join(f"{k}={v}" for k, v in options.items()))


def groups(frames: int) -> tuple[str, ...]:
    """Return the options for groups of exactly so many frames."""
    return ("-g", str(frames), "-keyint_min", str(frames), "-sc_threshold", "0")


def of(name: str, suffix: str, condition: str, seconds: float, **more: Any) -> Film:
    """Return a film of so many seconds; the rest has defaults of an ordinary film."""
    fps = more.pop("fps", Fraction(25))
    drawn = more.pop("drawn", round(seconds * fps))
    more.setdefault("video", (*H264, *groups(50)))
    more.setdefault("shot", round(max(fps * 5 / 2, 3)))
    return Film(f"{name}-{suffix}", f"{name}.{suffix}", condition, drawn, fps, **more)


def timed(expression: str) -> tuple[str, ...]:
    """Return the options for times that a formula of the frame's number N states.

    The formula counts in milliseconds, or divides seconds by TB.
    """
    keep = ("-fps_mode", "passthrough", "-enc_time_base", "filter")
    return ("-vf", f"settb=1/1000,setpts={expression}", *keep)


def pulled_down(frames: int, before: int = 0) -> tuple[float, ...]:
    """Return the times of frames of three and two fields in turn.

    The first one is so many fields `before` the container's start.
    """
    fields = (n // 2 * 5 + n % 2 * 3 - before for n in range(frames))
    return tuple(field * 1001 / 60000 for field in fields)


def uneven(suffix: str, condition: str) -> Film:
    """Return an animated picture whose frames last 20 to 900 ms."""
    lasting = (20, 100, 900, 300)
    ends = list(accumulate(lasting[n % 4] / 1000 for n in range(20)))
    return of(
        "uneven",
        suffix,
        condition,
        0,
        drawn=20,
        fps=Fraction(4),
        video=("pillow", *lasting),
        may_warn=("fewer_frames",),
        times=(0.0, *ends[:-1]),
        end=ends[-1],
    )


def case(file: str, frames: int, fps: Fraction | int, **more: Any) -> Film:
    """Return a film that is stored in tests/cases, with a mark of 12 bits."""
    stored = ("stored", f"tests/cases/{file}")
    name, _, _ = file.rpartition(".")
    return Film(
        f"case-{name.replace('_', '-')}",
        file,
        "see tests/cases/README.md",
        frames,
        Fraction(fps),
        stored,
        size=(320, 180),
        bits=12,
        **more,
    )


LENGTHS = [
    of("one-frame", "mp4", "one frame", 0, drawn=1),
    of("one-second", "mp4", "one second", 1),
    of(
        "ten-seconds",
        "mp4",
        "plain MP4 with sound",
        10,
        size=(320, 180),
        sound=Sound(),
        options=True,
    ),
    of(
        "three-minutes",
        "mp4",
        "three minutes, groups of one second",
        180,
        fps=Fraction(10),
        video=(*FAST_H264, *groups(10)),
        shot=70,
    ),
    of(
        "twenty-minutes",
        "mkv",
        "twenty minutes, groups of fifty seconds",
        1200,
        fps=Fraction(5),
        video=(*FAST_H264, *groups(250)),
        shot=80,
    ),
]
RATES = [
    of("one-a-minute", "mp4", "1/60 fps", 600, fps=Fraction(1, 60), shot=4),
    of("one-a-second", "mkv", "1 fps", 60, fps=Fraction(1), shot=5),
    of(
        "ten-a-second",
        "mp4",
        "10 fps, short groups",
        12,
        fps=Fraction(10),
        video=(*H264, *groups(5)),
    ),
    of("cinema", "mkv", "23.976 fps with B-frames", 10, fps=FILM, options=True),
    of(
        "thirty",
        "mov",
        "30 fps, one group",
        12,
        fps=Fraction(30),
        video=(*H264, *groups(999)),
    ),
    of("slow-motion", "mp4", "240 fps", 4, fps=Fraction(240)),
    of("intra", "mp4", "key frames only", 6, video=(*FAST_H264, *groups(1))),
]
CODECS = [
    of(
        "hevc-open-groups",
        "mp4",
        "HEVC, open groups of 2 s",
        8,
        video=hevc(**{"open-gop": 1, "keyint": 50, "min-keyint": 50, "bframes": 4}),
    ),
    of(
        "hevc-radl",
        "mp4",
        "HEVC, closed groups with two RADL pictures before each IDR",
        8,
        video=hevc(
            **{"open-gop": 0, "radl": 2, "keyint": 50, "min-keyint": 50, "bframes": 4}
        ),
    ),
    of(
        "mpeg2",
        "ts",
        "MPEG-2 in TS, flagged as interlaced",
        8,
        video=(*MPEG2, "-flags", "+ildct+ilme"),
    ),
    of(
        "vp8",
        "webm",
        "VP8",
        6,
        video=("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "300k"),
    ),
    of("vp9", "webm", "VP9 with sound", 8, video=VP9, sound=Sound(codec=OPUS)),
    of("av1", "mp4", "AV1", 6, video=(*AV1, "-g", "50")),
    of("mjpeg", "avi", "MJPEG in AVI", 6, video=MJPEG, sound=Sound(codec=PCM)),
    of("prores", "mov", "ProRes", 3, video=("-c:v", "prores_ks", "-profile:v", "0")),
    of("wmv", "asf", "WMV 2 in ASF", 6, video=("-c:v", "wmv2", "-q:v", "4")),
    of("theora", "ogv", "Theora in Ogg", 6, video=("-c:v", "libtheora", "-q:v", "7")),
]
CONTAINERS = [
    of(
        "fragments",
        "mp4",
        "fragmented MP4",
        8,
        mux=FRAGMENTS,
        sound=Sound(),
        start=0.08,
    ),
    of(
        "live",
        "webm",
        "WebM without cues or duration",
        8,
        video=VP9,
        encoded_as="webm",
        steps=(Step("stream", "webm", ("webm",)),),
    ),
    of(
        "live-h264",
        "mkv",
        "Matroska without cues or duration",
        8,
        steps=(Step("stream", "mkv", ("matroska",)),),
    ),
    of(
        "h264",
        "ts",
        "H.264 in TS, sound with it",
        10,
        sound=Sound(codec=MP2),
        start=0.01,
    ),
    of(
        "clock-wraps",
        "ts",
        "the clock of 33 bits wraps at 3.7 s",
        10,
        mux=("-output_ts_offset", "95440"),
    ),
    of(
        "disc",
        "m2ts",
        "H.264 in M2TS",
        8,
        mux=("-mpegts_m2ts_mode", "1"),
        sound=Sound(codec=AC3),
        start=256 / 48000,
    ),
    of("h264", "avi", "H.264 with B-frames in AVI", 8, fps=Fraction(24), start=2 / 24),
    of(
        "mpeg4",
        "avi",
        "MPEG-4 with B-frames in AVI",
        8,
        video=MPEG4,
        sound=Sound(codec=MP3),
        start=0.04,
    ),
    of("flash", "flv", "FLV", 8, sound=Sound(), start=0.021),
    of(
        "mpeg2",
        "vob",
        "MPEG-2 with B-frames in PS",
        8,
        video=MPEG2,
        mux=("-f", "vob"),
        sound=Sound(codec=MP2),
        start=0.01,
    ),
    of(
        "mpeg2",
        "mxf",
        "MPEG-2 with B-frames in MXF",
        8,
        video=MPEG2,
        sound=Sound(codec=PCM),
    ),
    of("gif", "gif", "GIF, 10 fps", 4, fps=Fraction(10), video=GIF),
    of(
        "apng",
        "png",
        "APNG, 10 fps",
        3,
        fps=Fraction(10),
        video=("-c:v", "apng", "-f", "apng", "-plays", "0"),
    ),
    of(
        "webp",
        "webp",
        "animated WebP, 10 fps",
        3,
        fps=Fraction(10),
        video=("pillow", 100),
    ),
    of(
        "avif",
        "avif",
        "AVIF sequence, 10 fps",
        3,
        fps=Fraction(10),
        video=AV1,
        stream="0:v:1",
    ),
]
SOUND = [
    of(
        "sound-longer",
        "mp4",
        "sound ends 4 s after the picture",
        8,
        sound=Sound(duration=12.0),
    ),
    of(
        "sound-shorter",
        "mkv",
        "sound ends 5 s before the picture",
        8,
        sound=Sound(duration=3.0),
    ),
    of(
        "sound-before",
        "mp4",
        "sound begins 0.72 s before the picture",
        8,
        sound=Sound(start=-0.72),
        start=0.72,
        may_warn=("fewer_frames",),
    ),
    of(
        "sound-before",
        "ts",
        "sound begins 0.72 s before the picture",
        8,
        sound=Sound(start=-0.72, codec=MP2),
        start=0.73,
        may_warn=("fewer_frames",),
    ),
    of(
        "sound-after",
        "mkv",
        "sound begins 1.5 s after the picture",
        8,
        sound=Sound(start=1.5),
        may_warn=("duration_corrected",),
    ),
    of(
        "sound-first-stream",
        "mp4",
        "the sound is the first stream",
        8,
        sound=Sound(stream=0),
    ),
    of(
        "sound-stored-first",
        "ts",
        "all sound is stored before the picture",
        20,
        video=(*H264, *groups(25)),
        sound=Sound(codec=MP2),
        encoded_as="ts",
        steps=(Step("sound_first", "ts"),),
        start=0.01,
    ),
]
CLOCKS = [
    of(
        "hevc-radl-cut",
        "mkv",
        "HEVC cut at an IDR with RADL pictures",
        10,
        video=hevc(
            **{"open-gop": 0, "radl": 2, "keyint": 50, "min-keyint": 50, "bframes": 4}
        ),
        encoded_as="mp4",
        steps=(Step("remux", "mkv", (("-ss", "4"), ("-copyts",))),),
        start=-0.08,
        first=98,
        frames=152,
        may_warn=("duration_corrected",),
    ),
    of(
        "hevc-open-cut",
        "ts",
        "HEVC cut at a CRA picture of an open group",
        10,
        video=hevc(**{"open-gop": 1, "keyint": 50, "min-keyint": 50, "bframes": 4}),
        encoded_as="mkv",
        steps=(Step("remux", "ts", (("-ss", "4"),)),),
        first=50,
        frames=200,
        may_warn=("begin_cut",),
    ),
    of(
        "edit-list-cut",
        "mp4",
        "an edit list leaves out the first 1.4 s",
        10,
        steps=(Step("remux", "mp4", (("-ss", "3.4"),)),),
        first=85,
        frames=165,
    ),
    of(
        "edit-list-delay",
        "mp4",
        "an empty edit of 2 s before the picture",
        8,
        sound=Sound(start=-2.0),
        start=2.0,
        may_warn=("fewer_frames",),
    ),
    of(
        "pulldown",
        "mpg",
        "MPEG-2 with 3:2 pulldown flags in PS",
        8,
        fps=FILM,
        size=(160, 96),
        video=MPEG2,
        times=pulled_down(192),
        encoded_as="m2v",
        steps=(Step("pull_down", "m2v"), Step("with_pulldown_times", "mpg")),
        end=480 * 1001 / 60000,
    ),
    of(
        "mpeg2-cut",
        "mpg",
        "MPEG-2 with open groups, cut by a plain copy",
        10,
        video=MPEG2,
        encoded_as="mpg",
        mux=("-f", "vob"),
        steps=(Step("remux", "mpg", (("-ss", "3"), ("-f", "vob"))),),
        first=75,
        frames=175,
        may_warn=("begin_cut",),
    ),
    of(
        "open-groups-cut",
        "ts",
        "H.264 with open groups, cut by a plain copy",
        10,
        video=(*H264, "-x264-params", "open-gop=1:keyint=50:min-keyint=50:scenecut=0"),
        encoded_as="ts",
        steps=(Step("remux", "ts", (("-ss", "3"),)),),
        first=100,
        frames=150,
        may_warn=("begin_cut",),
    ),
    of(
        "recording",
        "ts",
        "a recording that begins amid a group",
        10,
        video=(*H264, *groups(50)),
        encoded_as="ts",
        sound=Sound(codec=MP2),
        steps=(Step("begin_amid", "ts", (0.25,)),),
        start=1.49,
        first=100,
        frames=150,
        may_warn=("begin_cut",),
    ),
    of(
        "pulldown-copied",
        "mpg",
        "MPEG-2 in PS whose first picture has no time",
        8,
        fps=FILM,
        size=(160, 96),
        video=MPEG2,
        times=pulled_down(192, before=3),
        end=477 * 1001 / 60000,
        encoded_as="m2v",
        steps=(Step("pull_down", "m2v"), Step("with_pulldown_times", "mpg", (False,))),
    ),
    of(
        "late-clock",
        "mkv",
        "all clocks begin at one hour",
        8,
        sound=Sound(),
        mux=("-output_ts_offset", "3600"),
    ),
    of(
        "late-clock",
        "mp4",
        "all clocks begin at ten seconds",
        8,
        start=1024 / 48000,
        sound=Sound(),
        mux=("-output_ts_offset", "10"),
    ),
    of(
        "no-edit-list",
        "mp4",
        "B-frames without an edit list",
        8,
        mux=("-use_editlist", "0"),
    ),
    of(
        "cover",
        "mp4",
        "a cover beside the film",
        8,
        encoded_as="mp4",
        steps=(Step("with_cover", "mp4"),),
    ),
    of(
        "recording",
        "ts",
        "a recording that begins amid a group",
        10,
        video=(*H264, *groups(50)),
        encoded_as="ts",
        sound=Sound(codec=MP2),
        steps=(Step("begin_amid", "ts", (0.25,)),),
        start=1.49,
        first=100,
        frames=150,
    ),
    of(
        "pulldown-copied",
        "mpg",
        "MPEG-2 in PS whose first picture has no time",
        8,
        fps=FILM,
        video=MPEG2,
        times=pulled_down(192, before=8),
        end=472 * 1001 / 60000,
        encoded_as="m2v",
        steps=(Step("pull_down", "m2v"), Step("with_pulldown_times", "mpg", (False,))),
    ),
    of(
        "late-clock",
        "mkv",
        "all clocks begin at one hour",
        8,
        sound=Sound(),
        mux=("-output_ts_offset", "3600"),
    ),
    of(
        "late-clock",
        "mp4",
        "all clocks begin at ten seconds",
        8,
        start=1024 / 48000,
        sound=Sound(),
        mux=("-output_ts_offset", "10"),
    ),
    of(
        "no-edit-list",
        "mp4",
        "B-frames without an edit list",
        8,
        mux=("-use_editlist", "0"),
    ),
    of(
        "cover",
        "mp4",
        "a cover beside the film",
        8,
        encoded_as="mp4",
        steps=(Step("with_cover", "mp4"),),
    ),
]
SHAPES = [
    *(
        of(
            f"turned-{angle}",
            suffix,
            f"a display matrix turns it by {angle}",
            5,
            video=(*H264, "-vf", turn),
            steps=(Step("remux", suffix, (("-display_rotation", str(angle)),)),),
        )
        for angle, suffix, turn in (
            (90, "mp4", "transpose=clock"),
            (180, "mov", "hflip,vflip"),
            (270, "mkv", "transpose=cclock"),
        )
    ),
    of(
        "anamorphic",
        "mkv",
        "pixels of 4:3",
        5,
        video=(*H264, "-vf", "scale=144:108,setsar=4/3"),
    ),
    of(
        "anamorphic-tall",
        "mp4",
        "pixels of 8:9",
        5,
        size=(160, 120),
        video=(*H264, "-vf", "scale=180:120,setsar=8/9"),
    ),
    of("odd", "webm", "odd sides", 5, size=(161, 91), video=VP9),
    of(
        "odd",
        "gif",
        "GIF with odd sides",
        3,
        fps=Fraction(10),
        size=(161, 91),
        video=GIF,
    ),
    of("portrait", "mp4", "portrait", 5, size=(108, 192)),
]
UNEVEN = [
    of(
        "screencast",
        "mkv",
        "uneven times: a pause of 2.6 s after each 12 frames",
        0,
        drawn=60,
        fps=Fraction(5),
        video=(*H264, *timed("(N+12*floor(N/12))/5/TB")),
        shot=15,
        times=tuple(n / 5 + 2.4 * (n // 12) for n in range(60)),
        may_warn=("fewer_frames",),
    ),
    of(
        "phone",
        "mp4",
        "uneven times: 29 to 45 ms a frame",
        0,
        drawn=240,
        fps=Fraction(30),
        video=(*H264, *timed("N*33+4*mod(N*7\\,5)")),
        times=tuple((33 * n + 4 * (7 * n % 5)) / 1000 for n in range(240)),
        end=8.0,
    ),
    uneven("gif", "GIF of 20 to 900 ms a frame"),
    uneven("webp", "animated WebP of 20 to 900 ms a frame"),
]
CASES = [
    case("disc_reset.ts", 200, 10, may_warn=("clock_jumps",)),
    case("pidchange.ts", 200, 10, may_warn=("stream_changes",)),
    case(
        "hevc_radl_longgop_default_interval.mkv",
        352,
        5,
        start=-0.4,
        first=248,
        may_warn=("duration_corrected",),
    ),
    case("disabled_bigger_depth_track.mov", 200, 10, stream="0:1"),
]
LONG = [
    of(
        "twenty-minutes-at-25",
        "mp4",
        "twenty minutes at 25 fps with sound",
        1200,
        video=(*FAST_H264, *groups(125)),
        sound=Sound(),
        shot=400,
        long=True,
    ),
    of(
        "three-hours",
        "mp4",
        "three hours at 25 fps: 270,000 frames",
        10800,
        video=(*FAST_H264, *groups(250)),
        size=(160, 96),
        shot=900,
        long=True,
    ),
    of(
        "three-hours-slides",
        "mkv",
        "three hours at 1 fps, HEVC, groups of two minutes",
        10800,
        fps=Fraction(1),
        video=hevc(keyint=120, **{"min-keyint": 120}),
        shot=40,
        long=True,
    ),
    of(
        "three-hours-broadcast",
        "ts",
        "three hours at 5 fps in TS, with sound",
        10800,
        fps=Fraction(5),
        video=(*FAST_H264, *groups(25)),
        sound=Sound(codec=("-c:a", "mp2", "-b:a", "32k")),
        size=(160, 96),
        shot=200,
        start=0.01,
        long=True,
    ),
]
FILMS = [
    *LENGTHS,
    *RATES,
    *CODECS,
    *CONTAINERS,
    *SOUND,
    *CLOCKS,
    *SHAPES,
    *UNEVEN,
    *CASES,
    *LONG,
]
