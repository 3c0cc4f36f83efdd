"""What can be asked for: the specs of the outputs."""
