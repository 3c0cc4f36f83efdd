"""The short stable codes of warnings, with a sentence each for people."""

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
WINDOW_MISSING = "window_missing"
EXCLUSION_IGNORED = "exclusion_ignored"
BLACK = "black"
FLAT = "flat"
FROZEN = "frozen"

WARNINGS: dict[str, str] = {
    SINGLE_FRAME: "The source has one frame there, so the animation has one too.",
    TIME_PAST_END: "The time lies after the end; the last frame was taken.",
    START_MOVED: "The start was moved back so that the clip fits into the video.",
    SHORTER: "The video is shorter than the length that was asked.",
    TONE_MAPPED: "The HDR source was tone mapped to standard dynamic range.",
    HDR_CLIPPED: "The HDR source could not be tone mapped; colours are approximate.",
    DURATION_UNKNOWN: "The file does not say how long it is.",
    DURATION_CORRECTED: "The file states another length than its video has.",
    NO_BASE_LAYER: "The Dolby Vision source has no base layer; colours are close.",
    BEGIN_CUT: "The file begins amid a group of pictures; it is shown from the first "
    "frame that can be decoded.",
    ODD_ROTATION: "The file asks for a rotation that is not a quarter turn.",
    ROTATION_IGNORED: "The file's rotation is not valid and was ignored.",
    STREAM_CHANGES: "The video goes on in another stream of the file, or in a second "
    "file behind the first, which is not shown; the film ends where the first one "
    "does.",
    CLOCK_JUMPS: "The file's clock begins again or jumps; its recordings are shown one "
    "after another.",
    DAMAGED: "Parts of the video could not be decoded.",
    OTHER_TIME: "Nothing could be decoded at that time; a frame nearby was taken.",
    OTHER_TRACK: "The file has a default video track of a codec that is not supported; "
    "another track is shown.",
    COLOUR_GUESSED: "The file's colour description is not usable and was guessed.",
    FPS_GUESSED: "The file states neither times nor a frame rate; 25 frames a second "
    "were assumed.",
    FPS_REDUCED: "The frame rate was reduced to what memory, disk and the time of a "
    "task can bear.",
    ARTWORK_SHOWN: "The embedded artwork is shown instead of a frame.",
    WAVEFORM_SHOWN: "The audio's waveform is shown instead of a frame.",
    ICON_SHOWN: "An icon is shown instead of a frame.",
    NOT_OPTIMIZED: "No optimizer is installed; the file is as FFmpeg made it.",
    INTERVAL_STRETCHED: "The interval was stretched to stay under the limit of tiles "
    "or windows.",
    ROWS_REDUCED: "A sheet has fewer rows, to stay within what readers can open.",
    TILES_REDUCED: "The frames of a contact sheet are smaller, to stay within what "
    "readers can open and what memory can encode.",
    FEWER_SEGMENTS: "The video is too short for that many segments.",
    FEWER_FRAMES: "The video has fewer different frames there than were asked for.",
    EXCLUSION_IGNORED: "exclude_start and exclude_end leave nothing of a video this "
    "short; they were ignored.",
    WINDOW_MISSING: "At least one window or segment of the video gave no frame.",
    SEEK_UNRELIABLE: "The file's keyframes are not where it says; frames were found by "
    "decoding from the start.",
    BLACK: "A third or more of the animation, of a segment or of a snippet is black.",
    FLAT: "A third or more of the animation, of a segment or of a snippet is of "
    "one even colour.",
    FROZEN: "Nothing moves in the animation or preview.",
    NO_SCENE_CHANGE: "No new scene begins after a time, or fewer than were asked for; "
    "other frames were taken.",
}
