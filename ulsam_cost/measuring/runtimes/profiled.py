"""The times of modules, from what the profiler of a runtime says of its nodes."""

from collections.abc import Sequence

from ulsam_cost.measuring.layers import UNMAPPED, LayerTiming
from ulsam_cost.measuring.runtimes.runtime import Profiled
from ulsam_cost.measuring.samples import Timing

BETWEEN_NODES = "between nodes"


def profiled_layers(rounds: Sequence[Profiled], plain_ms: Sequence[float]) -> LayerTiming:
    """The times of each round by module, which add up to those of its runs.

    A node counts towards the first of its modules, and the others are told beside it. `unmapped` has the rest of the
    time: nodes that no module can be found for, such as conversions of a layout, and what passes between nodes.
    """
    nodes = [node for each in rounds for node in each.nodes]
    kinds: dict[str, float] = {}
    for node in nodes:
        if not node.modules:
            kinds[node.kind] = kinds.get(node.kind, 0.0) + node.ms / len(rounds)
    kinds[BETWEEN_NODES] = sum(each.ms - sum(node.ms for node in each.nodes) for each in rounds) / len(rounds)
    return LayerTiming(
        laps=tuple(map(_laps, rounds)),
        plain=Timing(times_ms=tuple(plain_ms)),
        hooked=Timing(times_ms=tuple(each.ms for each in rounds)),
        fused=tuple(dict.fromkeys(tuple(node.modules) for node in nodes if len(node.modules) > 1)),
        unmapped=dict(sorted(kinds.items(), key=lambda item: -item[1])),
    )


def _laps(profiled: Profiled) -> dict[str, float]:
    laps: dict[str, float] = {}
    for node in profiled.nodes:
        if node.modules:
            laps[node.modules[0]] = laps.get(node.modules[0], 0.0) + node.ms
    return laps | {UNMAPPED: profiled.ms - sum(laps.values())}
