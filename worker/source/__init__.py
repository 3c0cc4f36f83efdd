"""How the bytes of a source reach the host."""
