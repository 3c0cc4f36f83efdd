"""``/v1/events/s3``: notifications of objects that arrived in a bucket."""
