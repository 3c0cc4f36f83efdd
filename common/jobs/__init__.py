"""Jobs and batches: the verbs over them, their queue, their record."""
