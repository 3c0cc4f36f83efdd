"""Deliver one notice: a signed webhook or an e-mail, tried for about a day."""

from worker.tasks.deliver import Couriers, deliver

__all__ = ["Couriers", "deliver"]
