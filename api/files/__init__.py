"""``/v1/jobs/.../files``: stable links to sources and artifacts."""
