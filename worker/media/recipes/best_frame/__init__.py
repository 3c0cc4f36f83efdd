"""Find the frame that represents a video best."""
