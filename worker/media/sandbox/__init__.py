"""The limits under which every decoder runs."""
