"""What a job can request: the OutputSpec models, with their bounds and defaults.

The models are the one source of the request validation, of the OpenAPI schemas
and of the parameter tables in ``docs/reference``. They are strict: ``"5"`` is
not a number and ``false`` is not zero. Defaults follow what the field's users
expect (``docs/reference/outputs.md``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    model_validator,
)
from typing_extensions import TypeAliasType

from common.outputs.times import Time, check_rest, parse_time
from common.patterns import explained

NAME_PATTERN = explained(
    r"^[a-z0-9][a-z0-9_-]{0,63}$",
    "1 to 64 small letters, digits, '-' and '_'; the first is a letter or a digit",
)
_COLOUR_PATTERN = explained(
    r"^#[0-9a-fA-F]{6}$", "# and six hexadecimal digits, such as #808080"
)
_SHARE_PATTERN = explained(
    r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)%$", 'a share of the picture, such as "25%"'
)
MAX_SIDE = 7680
MAX_CROP = 65_535
AUTO = "auto"
LEAST_SHEET = 320
_STILLS = ("jpeg", "jpg", "png", "webp", "avif")


def _jpg_is_jpeg(value: Any) -> Any:
    return "jpeg" if value == "jpg" else value


Side = Annotated[int, Field(ge=2, le=MAX_SIDE)]
SheetWidth = Annotated[int, Field(ge=LEAST_SHEET, le=MAX_SIDE)]
Colour = Annotated[str, Field(pattern=_COLOUR_PATTERN, examples=["#000000"])]
Name = Annotated[str, Field(pattern=NAME_PATTERN, examples=["poster"])]
Gravity = (
    Literal[
        "center",
        "north",
        "north_east",
        "east",
        "south_east",
        "south",
        "south_west",
        "west",
        "north_west",
        "smart",
    ]
    | Annotated[
        list[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]],
        Field(min_length=2, max_length=2),
    ]
)
CropSide = (
    Annotated[int, Field(ge=0, le=MAX_CROP)]
    | Annotated[str, Field(pattern=_SHARE_PATTERN, examples=["25%"])]
)
Fit = Literal["contain", "cover", "stretch", "pad"]
StillFormat = Annotated[
    Literal["jpeg", "png", "webp", "avif"], BeforeValidator(_jpg_is_jpeg)
]
TileFormat = Annotated[Literal["jpeg", "webp", "avif"], BeforeValidator(_jpg_is_jpeg)]
Player = Literal["bif", "jellyfin", "dash"]
AnimationFormat = Literal["gif", "webp", "avif", "mp4", "webm"]
Fallback = Literal["frame", "artwork", "waveform", "icon"]
Placeholder = Literal["thumbhash", "blurhash", "lqip"]
Quality = Annotated[int, Field(ge=1, le=100)]
MaxBytes = Annotated[int, Field(ge=1_000, le=1_000_000_000)]


class _Spec(BaseModel):
    """What every output has."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: Name | None = Field(
        default=None,
        description="Unique in the job; default: the kind, then kind-2, kind-3.",
    )


class _Replaceable(_Spec):
    """An output in whose place something else may be shown."""

    fallback: list[Fallback] = Field(
        default=["frame"],
        min_length=1,
        max_length=4,
        description="What to show, in order of preference: the video's frame, embedded "
        "artwork, the waveform of the sound, an icon. The first that can be made is "
        "used. The list also applies to a time at which the video has no frame.",
    )


class _Boxed(_Replaceable):
    """An output with a picture size."""

    width: Side | None = Field(
        default=None, description="Pixels; default: 640 if height is unset too."
    )
    height: Side | None = Field(default=None, description="Pixels.")
    fit: Fit = Field(
        default="contain",
        description="contain keeps the whole picture inside the box; cover fills the "
        "box and crops; stretch fills the box and distorts; pad adds background.",
    )
    background: Colour | None = Field(
        default=None,
        description="The colour of the padding, and behind transparency. null keeps "
        "transparency if the format has it (png, webp, avif, gif, webm), and is black "
        "otherwise.",
    )
    enlarge: bool = Field(
        default=False, description="Allow a result larger than the source."
    )
    gravity: Gravity = Field(
        default="center",
        examples=["smart", [0.3, 0.5]],
        description="What fit cover keeps: the center, an edge or corner (north is the "
        "top), the point [x, y], as shares of the width and height, or smart: what "
        "stands out by its motion, colour and edges. Each still has a crop of its own; "
        "what moves has one steady crop.",
    )
    crop: list[CropSide] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        examples=[[0, "10%", 640, "80%"]],
        description="Show only this part: left, top, width, height, each in pixels of "
        "the upright source or as a share of it. The box is fitted to the part.",
    )
    trim: bool = Field(
        default=False,
        description="Cut off the black bars that the video was padded with.",
    )

    @model_validator(mode="after")
    def _one_way_to_say_what_is_shown(self) -> Self:
        if self.gravity != "center" and self.fit != "cover":
            raise ValueError(
                "gravity says what fit 'cover' keeps: set fit to 'cover', or leave "
                "gravity out"
            )
        if self.crop is not None and self.trim:
            raise ValueError("set only one of crop and trim")
        for side in (self.crop or [])[2:]:
            empty = side == 0 if isinstance(side, int) else float(side[:-1]) == 0
            if empty:
                raise ValueError("the width and the height of crop are over 0")
        return self

    @model_validator(mode="after")
    def _box_is_whole(self) -> Self:
        if self.fit != "contain" and (self.width is None or self.height is None):
            raise ValueError(f"fit {self.fit!r} needs both width and height")
        return self


class _Several(_Replaceable):
    """A still that may be made in several sizes and formats from one decode."""

    formats: list[StillFormat] | None = Field(
        default=None,
        min_length=1,
        max_length=4,
        examples=[["avif", "webp", "jpeg"]],
        description="Make the picture in each of these formats, from one decode; "
        "instead of format.",
    )

    @model_validator(mode="before")
    @classmethod
    def _the_first_format_comes_first(cls, given: Any) -> Any:
        """Set ``format`` to the first of several, which are the files' order."""
        formats = given.get("formats") if isinstance(given, dict) else None
        if isinstance(formats, list) and formats[:1] and formats[0] in _STILLS:
            return {"format": formats[0]} | given
        return given

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name in ("widths", "formats"):
            values = getattr(self, name, None) or []
            for place, value in enumerate(values):
                if value in values[:place]:
                    raise ValueError(f"{name} has {value!r} twice: name each once")
        if self.formats and getattr(self, "format", None) != self.formats[0]:
            raise ValueError("set only one of format and formats")
        return self


class ThumbnailSpec(_Boxed, _Several):
    """One still picture, or several by ``count`` or ``times``."""

    kind: Literal["thumbnail"]
    widths: list[Side] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        examples=[[320, 640, 1280]],
        description="Make the picture in each of these widths, from one decode; "
        "instead of width. With width and height, these two are only its shape.",
    )
    time: Time | None = Field(
        default=None, examples=["50%"], description="The time of a single frame."
    )
    times: list[Time] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="1 to 100 times; each makes one file.",
    )
    count: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="How many pictures, evenly spaced; fewer if the video has fewer "
        "frames.",
    )
    policy: Literal["exact", "keyframe", "auto", "scene"] | None = Field(
        default=None,
        description="exact: the frame at that time, or an error if the time is after "
        "the end (default if time, times or count is set); keyframe: the nearest frame "
        "that is cheap to decode; auto: the best frame, near each time if times are "
        "set (default otherwise); scene: the first frame of the next scene, and with "
        "count or times each scene once.",
    )
    format: StillFormat = "jpeg"
    quality: Quality = Field(default=80, description="Not used for png.")
    placeholder: Placeholder = Field(
        default="thumbhash",
        description="What a page shows until the picture is there, in the result's "
        "details: a thumbhash (base64) or blurhash for a script to draw, or lqip, a "
        "picture as a data URI of at most 1 KB that needs none.",
    )

    @model_validator(mode="after")
    def _one_way_to_say_how_wide(self) -> Self:
        if self.widths and (self.width is None) != (self.height is None):
            raise ValueError(
                "set only one of widths and width or height; width and height together "
                "are the shape of all widths"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_say_when(self) -> Self:
        given = [n for n in ("time", "times", "count") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"set only one of {' and '.join(given)}")
        return self

    @model_validator(mode="after")
    def _each_picture_is_another(self) -> Self:
        if self.policy not in {"auto", "scene"} or self.times is None:
            return self
        known: set[tuple[float, bool]] = set()
        for time in self.times:
            if parse_time(time) in known:
                raise ValueError(
                    f"times has {time!r} twice, but policy {self.policy!r} shows each "
                    "picture once: name each time once, or take policy 'exact'"
                )
            known.add(parse_time(time))
        return self

    @model_validator(mode="after")
    def _scenes_begin_before_the_end(self) -> Self:
        times = self.times or ([] if self.time is None else [self.time])
        if self.policy == "scene" and (1.0, True) in map(parse_time, times):
            raise ValueError(
                "policy 'scene' shows the scene that begins after a time, and none "
                "begins after 100%: set an earlier time, or take policy 'exact'"
            )
        return self


class _Moving(_Boxed):
    """What animations and previews have in common."""

    format: AnimationFormat = "gif"
    fps: float = Field(
        default=15, gt=0, le=30, allow_inf_nan=False, description="Frames a second."
    )
    width: Annotated[int, Field(ge=2, le=1280)] | None = Field(
        default=None, description="Pixels; default: 320 if height is unset too."
    )
    height: Annotated[int, Field(ge=2, le=1280)] | None = Field(
        default=None, description="Pixels."
    )
    loop: int = Field(
        default=0, ge=0, le=65535, description="How many times it plays; 0 is endless."
    )
    quality: Quality = Field(default=75, description="Not used for gif.")
    colors: int = Field(
        default=192,
        ge=2,
        le=256,
        description="gif only; 192 is a tenth smaller than 256 at the same SSIM.",
    )
    dither: Literal["bayer", "sierra2_4a", "floyd_steinberg", "none"] = Field(
        default="bayer",
        description="gif only; bayer hides the steps of soft gradients, none makes the "
        "smallest files.",
    )
    bayer_scale: int = Field(
        default=5,
        ge=0,
        le=5,
        description="gif with dither bayer only; 0 is the coarsest pattern.",
    )
    palette: Literal["full", "diff"] = Field(
        default="full",
        description="gif only; full counts all pixels, diff only those that change.",
    )
    max_bytes: MaxBytes | None = Field(
        default=None,
        description="The largest file. At most six trials vary fps, size, colours, "
        "dither and quality to find the best result that fits.",
    )
    optimize: bool = Field(
        default=False,
        description="gif only; use gifsicle if it is installed. Not used with "
        "max_bytes.",
    )


class AnimationSpec(_Moving):
    """One contiguous animated image or clip."""

    kind: Literal["animation"]
    start: Literal["auto"] | Time = Field(
        default=AUTO,
        examples=[AUTO, 12.5, "10%"],
        description="auto: 10%, or a better place if that stretch is black, of one "
        "colour, frozen or broken. If end is set, the default is 10%. A stated start "
        "is moved back if the clip would pass the end of the video.",
    )
    end: Time | None = Field(
        default=None,
        description="Use it instead of duration, and not with start auto. A time after "
        "the end of the video means the end. At most 30 seconds are shown.",
    )
    duration: float | None = Field(
        default=None,
        ge=0.1,
        le=30,
        allow_inf_nan=False,
        description="Seconds of the source; default: 5 if end is unset too.",
    )
    boomerang: bool = Field(default=False, description="Play forward, then backward.")
    speed: float = Field(
        default=1,
        ge=0.25,
        le=8,
        allow_inf_nan=False,
        description="How much faster it plays; 0.5 is slow motion.",
    )

    @model_validator(mode="before")
    @classmethod
    def _an_end_has_a_start(cls, given: Any) -> Any:
        """Start at 10 % if an end is stated, because ``auto`` needs a duration."""
        if isinstance(given, dict) and given.get("end") is not None:
            return {"start": "10%"} | given
        return given

    @model_validator(mode="after")
    def _one_way_to_say_how_long(self) -> Self:
        if self.end is not None and self.duration is not None:
            raise ValueError("set only one of end and duration")
        if self.end is None:
            return self
        if self.start == AUTO:
            raise ValueError(
                f"start {AUTO!r} needs a duration, so it cannot be used with end: set "
                'duration instead of end, or set a start, such as "10%"'
            )
        (start, start_share), (end, end_share) = (
            parse_time(self.start),
            parse_time(self.end),
        )
        if start_share == end_share and end <= start:
            raise ValueError("end must come after start")
        if not start_share and not end_share and end - start > 30:
            raise ValueError("an animation lasts at most 30 seconds")
        return self


class PreviewSpec(_Moving):
    """A short hover clip of several segments sampled across the whole video."""

    kind: Literal["preview"]
    segments: int = Field(
        default=12,
        ge=1,
        le=50,
        description="How many segments, evenly spread; a short video has room for "
        "fewer.",
    )
    segment_duration: float = Field(
        default=0.75,
        ge=0.1,
        le=5,
        allow_inf_nan=False,
        description="Seconds of each segment; at most 60 in total.",
    )
    exclude_start: Time = Field(default="5%", description="Left out at the start.")
    exclude_end: Time = Field(
        default="5%",
        description="Left out at the end; the two shares must be under 100% in total.",
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        check_rest(self.exclude_start, self.exclude_end)
        return self

    @model_validator(mode="after")
    def _bounded_length(self) -> Self:
        if self.segments * self.segment_duration > 60:
            raise ValueError("segments x segment_duration is at most 60 seconds")
        return self


class StoryboardSpec(_Replaceable):
    """Tiled images and an index (WebVTT, JSON, HLS image playlist)."""

    kind: Literal["storyboard"]
    interval: float | None = Field(
        default=None,
        ge=0.5,
        le=600,
        allow_inf_nan=False,
        description="Seconds between tiles; default: 10 if count is unset too.",
    )
    count: int | None = Field(
        default=None,
        ge=1,
        le=5000,
        description="How many tiles in total; frames repeat if there are fewer.",
    )
    columns: int = Field(default=10, ge=1, le=20, description="Tiles side by side.")
    rows: int = Field(
        default=10,
        ge=1,
        le=20,
        description="Rows of tiles on a sheet; the last sheet may have fewer.",
    )
    width: Annotated[int, Field(ge=16, le=640)] = Field(
        default=320,
        description="Pixels of one tile; its height follows from the video's shape.",
    )
    format: TileFormat = "jpeg"
    quality: Quality = 75
    trickplay: list[Player] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        examples=[["bif", "dash"]],
        description="Also write what these players read: bif (Roku, Plex, Emby) an "
        "archive of JPEGs; jellyfin a ZIP of its folder, for format jpeg; dash a track "
        "of tiles (MPD). With jellyfin and dash all sheets have the full grid.",
    )

    @model_validator(mode="after")
    def _players_can_read_it(self) -> Self:
        for place, player in enumerate(self.trickplay or ()):
            if player in (self.trickplay or [])[:place]:
                raise ValueError(f"trickplay has {player!r} twice: name each once")
        if "jellyfin" in (self.trickplay or ()) and self.format != "jpeg":
            raise ValueError(
                "Jellyfin reads JPEG only: set format to 'jpeg', or leave 'jellyfin' "
                "out of trickplay"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_say_how_many(self) -> Self:
        if self.interval is not None and self.count is not None:
            raise ValueError("set only one of interval and count")
        return self


class ContactSheetSpec(_Several):
    """A grid of frames for people, with timestamps and a header."""

    kind: Literal["contact_sheet"]
    columns: int = Field(default=4, ge=1, le=12, description="Frames side by side.")
    rows: int = Field(default=4, ge=1, le=20, description="Rows of frames.")
    width: SheetWidth = Field(default=1280, description="Pixels of the whole sheet.")
    widths: list[SheetWidth] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        examples=[[640, 1280]],
        description="Make the sheet in each of these widths, from one decode; instead "
        "of width. It is drawn in the largest, and scaled for the others.",
    )
    header: bool = Field(
        default=True, description="Show the name, duration, size and codec."
    )
    timestamps: bool = Field(
        default=True, description="Show each frame's real time in its corner."
    )
    exclude_start: Time = Field(default="5%", description="Left out at the start.")
    exclude_end: Time = Field(
        default="5%",
        description="Left out at the end; the two shares must be under 100% in total.",
    )
    background: Colour = Field(
        default="#181818", description="The colour of the sheet."
    )
    foreground: Colour = Field(
        default="#f0f0f0", description="The colour of the header's text."
    )
    format: StillFormat = "jpeg"
    quality: Quality = Field(default=80, description="Not used for png.")

    @model_validator(mode="before")
    @classmethod
    def _the_largest_width_is_drawn(cls, given: Any) -> Any:
        """Set ``width`` to the largest of several, in which the sheet is drawn."""
        widths = given.get("widths") if isinstance(given, dict) else None
        if isinstance(widths, list) and all(type(one) is int for one in widths):
            largest = max(widths, default=0)
            fits = LEAST_SHEET <= largest <= MAX_SIDE
            return ({"width": largest} if fits else {}) | given
        return given

    @model_validator(mode="after")
    def _one_way_to_say_how_wide(self) -> Self:
        if self.widths and self.width != max(self.widths):
            raise ValueError("set only one of width and widths")
        return self

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        check_rest(self.exclude_start, self.exclude_end)
        return self


class SnippetsSpec(_Spec):
    """One short animation for each fixed window of the whole video."""

    kind: Literal["snippets"]
    fallback: list[Literal["frame"]] = Field(
        default=["frame"],
        min_length=1,
        max_length=1,
        description="Nothing else can be shown in place of a window of the video.",
    )
    window: float = Field(
        default=30,
        ge=1,
        le=600,
        allow_inf_nan=False,
        description="Seconds of each window; longer if there would be over 1000.",
    )
    format: AnimationFormat = "gif"
    fps: float = Field(
        default=10, gt=0, le=30, allow_inf_nan=False, description="Frames a second."
    )
    width: Annotated[int, Field(ge=16, le=640)] = Field(
        default=240,
        description="Pixels; the height follows from the video's shape.",
    )
    loop: int = Field(
        default=0, ge=0, le=65535, description="How many times it plays; 0 is endless."
    )
    quality: Quality = Field(default=75, description="Not used for gif.")
    colors: int = Field(default=256, ge=2, le=256, description="gif only.")
    dither: Literal["bayer", "sierra2_4a", "floyd_steinberg", "none"] = Field(
        default="bayer", description="gif only."
    )


# Under its own name in the OpenAPI document, too.
OutputSpec = TypeAliasType(
    "OutputSpec",
    Annotated[
        ThumbnailSpec
        | AnimationSpec
        | PreviewSpec
        | StoryboardSpec
        | ContactSheetSpec
        | SnippetsSpec,
        Field(discriminator="kind"),
    ],
)
OUTPUT_SPEC: TypeAdapter[OutputSpec] = TypeAdapter(OutputSpec)
MODELS: dict[str, type[BaseModel]] = {
    "thumbnail": ThumbnailSpec,
    "animation": AnimationSpec,
    "preview": PreviewSpec,
    "storyboard": StoryboardSpec,
    "contact_sheet": ContactSheetSpec,
    "snippets": SnippetsSpec,
}
KINDS = tuple(MODELS)


def natural_pair() -> list[OutputSpec]:
    """Return what a job makes by default: a thumbnail and a GIF."""
    return [
        ThumbnailSpec(kind="thumbnail", name="thumbnail"),
        AnimationSpec(kind="animation", name="animation"),
    ]


def recorded(spec: OutputSpec) -> dict[str, Any]:
    """Return a spec as records keep it: kind and format, and what is no default.

    A worker of an earlier version refuses fields that it does not know. So that it can
    make all outputs that it knows, a newer one does not write those that nobody set.
    """
    always = {"kind", "format"} & set(type(spec).model_fields)
    given = spec.model_dump(mode="json", exclude_defaults=True)
    return spec.model_dump(mode="json", include=always) | given


def load_spec(document: str) -> OutputSpec:
    """Read a stored spec; raises pydantic.ValidationError when it is not one."""
    return OUTPUT_SPEC.validate_json(document)
