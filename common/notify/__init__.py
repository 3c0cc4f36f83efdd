"""Subscriptions: who is notified of what becomes of a job or a batch."""
