"""Files by key: one port, a local folder or S3 behind it."""
