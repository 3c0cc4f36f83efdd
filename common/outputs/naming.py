"""The names of a job's outputs, which name their folders and their links."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import Fault, Invalid
from common.outputs.specs import OutputSpec


def name_outputs(specs: Sequence[OutputSpec], base: str = "") -> list[str]:
    """Return the name of each output: the requested one, else kind, kind-2, kind-3.

    Raises Invalid that lists every name that is asked for twice, by pointers below
    ``base``.
    """
    faults: list[Fault] = []
    taken: set[str] = set()
    for index, spec in enumerate(specs):
        if spec.name is not None and spec.name in taken:
            faults.append(
                {
                    "pointer": f"{base}/outputs/{index}/name",
                    "detail": f"an earlier output already has the name {spec.name!r}",
                    "hint": "names are unique within a job",
                }
            )
        elif spec.name is not None:
            taken.add(spec.name)
    if faults:
        raise Invalid(faults)
    names = []
    for spec in specs:
        name, number = spec.name, 1
        while name is None or (spec.name is None and name in taken):
            name = spec.kind if number == 1 else f"{spec.kind}-{number}"
            number += 1
        taken.add(name)
        names.append(name)
    return names
