"""What an answer advises: its warnings as sentences, and the hints of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .display import warn

# Answers hold the codes alone, and the wheel has no server to look them up in.
SENTENCES = {
    "artwork_shown": "The embedded artwork is shown instead of a frame.",
    "begin_cut": "The file starts in the middle of a group of pictures; it is "
    "shown from its first frame that can be decoded.",
    "black": "At least a third of the animation, of a segment or of a snippet is "
    "black.",
    "clock_jumps": "The file's clock restarts or jumps; its recordings are shown "
    "one after another.",
    "colour_guessed": "The colour description in the file is unusable; the colours "
    "are a guess.",
    "cut_off": "The file was cut off: it ends earlier than its header or index states; "
    "what is left of it is shown.",
    "damaged": "Parts of the video could not be decoded.",
    "duration_corrected": "The duration in the file is wrong; that of its video is "
    "used.",
    "duration_unknown": "The file does not state its duration.",
    "exclusion_ignored": "exclude_start and exclude_end leave nothing of a video "
    "this short; they were ignored.",
    "fewer_frames": "The video has fewer different frames there than requested.",
    "fewer_segments": "The video is too short for that many segments.",
    "fewer_widths": "The source is smaller than some of the widths, and nothing was "
    "enlarged: each size is made once.",
    "flat": "At least a third of the animation, of a segment or of a snippet is "
    "one even colour.",
    "fps_guessed": "The file states neither times nor a frame rate; 25 frames a "
    "second were assumed.",
    "fps_reduced": "The frame rate was reduced to stay within the limits of "
    "memory, disk and time.",
    "frozen": "Nothing moves in the animation or preview.",
    "hdr_clipped": "The HDR source could not be tone mapped; its colours are "
    "approximate.",
    "icon_shown": "An icon is shown instead of a frame.",
    "interval_stretched": "The interval was increased to stay within the limit of "
    "tiles or windows.",
    "no_base_layer": "The Dolby Vision source has no base layer; its colours are "
    "approximate.",
    "no_scene_change": "Fewer scenes begin there than requested; other frames are "
    "shown instead.",
    "not_optimized": "gifsicle is not installed, so the GIF was not optimized.",
    "odd_rotation": "The file has a rotation that is not a quarter turn.",
    "other_time": "Nothing could be decoded at that time; a frame nearby is shown.",
    "other_track": "The codec of the file's default video track is not supported; "
    "another track is shown.",
    "rotation_ignored": "The rotation in the file is invalid and was ignored.",
    "rows_reduced": "Sheets have fewer rows than requested, so that viewers can "
    "open them.",
    "seek_unreliable": "The file's keyframes are not where its index says; frames "
    "were found by decoding from the start.",
    "shorter_than_asked": "The video is shorter than the requested length.",
    "single_frame": "The source has only one frame there, so the animation has one "
    "too.",
    "start_moved": "The start was moved back so that the clip fits into the video.",
    "stream_changes": "The video continues in another stream of the file, or in a "
    "second file appended to it, which is not shown; the video ends before that.",
    "tiles_reduced": "The frames of the contact sheet are smaller, so that viewers "
    "can open it and it can be encoded within the memory limit.",
    "time_past_end": "The time is after the end of the video; the last frame is shown.",
    "tone_mapped": "The HDR source was tone mapped to standard dynamic range.",
    "waveform_shown": "The audio's waveform is shown instead of a frame.",
    "window_missing": "At least one window or segment of the video has no "
    "decodable frame.",
}


def show_advice(document: dict[str, Any], label: str = "") -> None:
    """Print the warnings and hints of a job or a batch on standard error, each once.

    ``label`` says which job it is, such as ``clip.mp4: ``.
    """
    seen: set[str] = set()
    for kind, place, text in _advice(document):
        # The outputs of a job that failed as a whole repeat its hint.
        if kind == "warning" or text not in seen:
            warn(f"{kind}: {label}{place}{text}")
        seen.add(text)


def _advice(
    document: dict[str, Any], place: str = ""
) -> Iterator[tuple[str, str, str]]:
    for code in document["warnings"]:
        sentence = SENTENCES.get(code)
        # A batch's warnings are sentences already, and a newer service has more codes.
        yield "warning", place, f"{code}: {sentence}" if sentence else code
    problem = document["error"]
    if problem and problem["hint"]:
        yield "hint", place, problem["hint"]
    for output in document.get("outputs", ()):
        yield from _advice(output, f"{output['name']}: ")
