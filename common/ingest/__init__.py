"""Jobs that begin without a request: objects that arrive in a bucket."""
