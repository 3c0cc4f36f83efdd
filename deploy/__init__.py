"""Where and how the parts run."""
