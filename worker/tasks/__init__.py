"""What one Celery task does: one module a kind of task."""
