"""How many jobs a second the API accepts, as rows: see :mod:`tests.bench.accept`."""

from __future__ import annotations

from tests.bench import accept
from tests.bench.bench import Bench
from tests.bench.results import Row, Sample, Target

_ROUNDS, _SECONDS = 4, 2.0


def rows() -> list[Row]:
    """Return the rows of acceptance, beside a Flask view with one write to Redis."""

    def compare(_bench: Bench) -> Sample:
        found = accept.compare(_ROUNDS, _SECONDS)
        view = found[accept.VIEW].rate
        return {
            "no keys": found[accept.NO_KEYS].rate / view,
            "keys, Idempotency-Key": found[accept.IDEMPOTENT].rate / view,
            "p99": found[accept.IDEMPOTENT].half.percentile(0.99),
        }

    targets = [
        Target("no keys", least=0.5),
        Target("keys, Idempotency-Key", least=0.4),
        Target("p99", most=20),
    ]
    text = "accepted jobs a second, of a Flask view's; p99 in ms at half load"
    return [Row("accept", text, [], {"API": compare}, targets, rounds=1)]
