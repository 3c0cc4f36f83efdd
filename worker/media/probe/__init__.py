"""Find out what a file is: its streams, geometry, colours and times."""
