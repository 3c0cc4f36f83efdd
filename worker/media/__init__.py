"""A library that knows files and codecs and has never heard of a job."""
