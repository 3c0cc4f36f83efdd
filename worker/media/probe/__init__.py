"""What a file is: its streams, geometry, colours and times."""
