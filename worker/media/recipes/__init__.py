"""Pure plans: a spec and the facts of a source become FFmpeg arguments."""
