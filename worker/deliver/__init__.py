"""Deliver one notice: a signed webhook or an e-mail, tried for about a day."""

from worker.deliver.courier import Couriers, deliver

__all__ = ["Couriers", "deliver"]
