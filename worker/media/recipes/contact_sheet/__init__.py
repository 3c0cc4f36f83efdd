"""Make contact sheets: a grid of frames with a header."""
