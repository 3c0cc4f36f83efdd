"""Define the short stable codes of warnings, with a sentence for people."""

from __future__ import annotations

SINGLE_FRAME = "single_frame"
TIME_PAST_END = "time_past_end"
START_MOVED = "start_moved"
SHORTER = "shorter_than_asked"
TONE_MAPPED = "tone_mapped"
HDR_CLIPPED = "hdr_clipped"
DURATION_UNKNOWN = "duration_unknown"
DURATION_CORRECTED = "duration_corrected"
BEGIN_CUT = "begin_cut"
CUT_OFF = "cut_off"
ODD_ROTATION = "odd_rotation"
NO_BASE_LAYER = "no_base_layer"
ROTATION_IGNORED = "rotation_ignored"
DAMAGED = "damaged"
CLOCK_JUMPS = "clock_jumps"
STREAM_CHANGES = "stream_changes"
OTHER_TIME = "other_time"
OTHER_TRACK = "other_track"
COLOUR_GUESSED = "colour_guessed"
FPS_GUESSED = "fps_guessed"
FPS_REDUCED = "fps_reduced"
ARTWORK_SHOWN = "artwork_shown"
WAVEFORM_SHOWN = "waveform_shown"
ICON_SHOWN = "icon_shown"
NOT_OPTIMIZED = "not_optimized"
NO_SCENE_CHANGE = "no_scene_change"
SEEK_UNRELIABLE = "seek_unreliable"
INTERVAL_STRETCHED = "interval_stretched"
ROWS_REDUCED = "rows_reduced"
TILES_REDUCED = "tiles_reduced"
FEWER_SEGMENTS = "fewer_segments"
FEWER_FRAMES = "fewer_frames"
FEWER_WIDTHS = "fewer_widths"
WINDOW_MISSING = "window_missing"
EXCLUSION_IGNORED = "exclusion_ignored"
BLACK = "black"
FLAT = "flat"
FROZEN = "frozen"

WARNINGS: dict[str, str] = {
    SINGLE_FRAME: "The source has only one frame there, so the animation has one too.",
    TIME_PAST_END: "The time is after the end of the video; the last frame is shown.",
    START_MOVED: "The start was moved back so that the clip fits into the video.",
    SHORTER: "The video is shorter than the requested length.",
    TONE_MAPPED: "The HDR source was tone mapped to standard dynamic range.",
    HDR_CLIPPED: "The HDR source could not be tone mapped; its colours are "
    "approximate.",
    DURATION_UNKNOWN: "The file does not state its duration.",
    DURATION_CORRECTED: "The duration in the file is wrong; that of its video is used.",
    NO_BASE_LAYER: "The Dolby Vision source has no base layer; its colours are "
    "approximate.",
    BEGIN_CUT: "The file starts in the middle of a group of pictures; it is shown "
    "from its first frame that can be decoded.",
    CUT_OFF: "The file was cut off: it ends earlier than its header or index states; "
    "what is left of it is shown.",
    ODD_ROTATION: "The file has a rotation that is not a quarter turn.",
    ROTATION_IGNORED: "The rotation in the file is invalid and was ignored.",
    STREAM_CHANGES: "The video continues in another stream of the file, or in a second "
    "file appended to it, which is not shown; the video ends before that.",
    CLOCK_JUMPS: "The file's clock restarts or jumps; its recordings are shown one "
    "after another.",
    DAMAGED: "Parts of the video could not be decoded.",
    OTHER_TIME: "Nothing could be decoded at that time; a frame nearby is shown.",
    OTHER_TRACK: "The codec of the file's default video track is not supported; "
    "another track is shown.",
    COLOUR_GUESSED: "The colour description in the file is unusable; the colours are "
    "a guess.",
    FPS_GUESSED: "The file states neither times nor a frame rate; 25 frames a second "
    "were assumed.",
    FPS_REDUCED: "The frame rate was reduced to stay within the limits of memory, "
    "disk and time.",
    ARTWORK_SHOWN: "The embedded artwork is shown instead of a frame.",
    WAVEFORM_SHOWN: "The audio's waveform is shown instead of a frame.",
    ICON_SHOWN: "An icon is shown instead of a frame.",
    NOT_OPTIMIZED: "gifsicle is not installed, so the GIF was not optimized.",
    INTERVAL_STRETCHED: "The interval was increased to stay within the limit of tiles "
    "or windows.",
    ROWS_REDUCED: "Sheets have fewer rows than requested, so that viewers can open "
    "them.",
    TILES_REDUCED: "The frames of the contact sheet are smaller, so that viewers can "
    "open it and it can be encoded within the memory limit.",
    FEWER_SEGMENTS: "The video is too short for that many segments.",
    FEWER_WIDTHS: "The source is smaller than some of the widths, and nothing was "
    "enlarged: each size is made once.",
    FEWER_FRAMES: "The video has fewer different frames there than requested.",
    EXCLUSION_IGNORED: "exclude_start and exclude_end leave nothing of a video this "
    "short; they were ignored.",
    WINDOW_MISSING: "At least one window or segment of the video has no decodable "
    "frame.",
    SEEK_UNRELIABLE: "The file's keyframes are not where its index says; frames were "
    "found by decoding from the start.",
    BLACK: "At least a third of the animation, of a segment or of a snippet is black.",
    FLAT: "At least a third of the animation, of a segment or of a snippet is one "
    "even colour.",
    FROZEN: "Nothing moves in the animation or preview.",
    NO_SCENE_CHANGE: "Fewer scenes begin there than requested; other frames are shown "
    "instead.",
}
