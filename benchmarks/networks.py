"""How long it takes to derive a network's cost, and to count it beside torch's FlopCounterMode on meta, in turn.

Run it as it is: python benchmarks/networks.py
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

import ulsam_cost as uc
from ulsam_cost.formulas.networks import layer_parts

ROUNDS = 15
NETWORKS = [("mv1", "8:1,9:1,11"), ("mv2", "13,14,16,17")]


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Print medians, and the ratio to FlopCounterMode."""
    for network, positions in NETWORKS:
        with torch.device("meta"):
            model = uc.build(network, positions=positions).eval()
            x = torch.empty(1, 3, 224, 224)

        def derive(network: str = network, positions: str = positions) -> None:
            layer_parts.cache_clear()
            uc.network_cost(network, positions=positions)

        def flop_counter(model: torch.nn.Module = model, x: torch.Tensor = x) -> None:
            with FlopCounterMode(display=False), torch.no_grad():
                model(x)

        def counted(model: torch.nn.Module = model, x: torch.Tensor = x) -> None:
            uc.count(model, x)

        def counted_slowly(model: torch.nn.Module = model, x: torch.Tensor = x) -> None:
            uc.count(model, x, fast=False)

        calls: dict[str, Callable[[], None]] = {
            "derived": derive,
            "counted": counted,
            "counted, fast path off": counted_slowly,
            "FlopCounterMode on meta": flop_counter,
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS + 1):
            for name, call in calls.items():
                times[name].append(seconds(call))
        medians = {name: statistics.median(values[1:]) for name, values in times.items()}
        print(f"{network} ({positions})")
        for name, median in medians.items():
            print(f"  {name:26} {1e3 * median:8.2f} ms  {median / medians['FlopCounterMode on meta']:8.4f}")


if __name__ == "__main__":
    main()
