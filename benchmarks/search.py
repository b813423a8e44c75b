"""What a search takes: explicit placements evaluated, the front and the counts of large spaces, and memory.

Run it as it is: OMP_NUM_THREADS=1 python benchmarks/search.py
Seconds are those of one core; it ends with 1 where a limit is exceeded.
"""

import resource
import sys
from time import process_time
from typing import Any

import numpy as np

from ulsam_cost.formulas.networks import layer_parts
from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.searching.search import SearchResult, search

ROUNDS = 5
PLACEMENTS = 1_000_000
LEAST_A_SECOND, MOST_SECONDS, MOST_MIB = 1_000_000, 2.0, 1024
WIDTHS, RESOLUTIONS = (0.35, 0.5, 0.75, 1.0, 1.4), (96, 128, 160, 192, 224)
BUDGET = {"macs": 240_000_000, "params": 3_000_000}
METRICS = ("macs", "params", "activations", "traffic")


def searched(**options: Any) -> SearchResult:
    """A search from the start: no layer is derived already."""
    layer_parts.cache_clear()
    sites.cache_clear()
    return search("mv2", attention=("ulsam", "se"), widths=WIDTHS, resolutions=RESOLUTIONS, **options)


def evaluated_a_second() -> float:
    """Placements of MobileNetV2 evaluated a second, in four metrics, all of them given as arrays of choices."""
    (branch,) = search("mv2", attention=("ulsam", "se"), mix=True).branches
    generator = np.random.default_rng(0)
    chosen = np.stack([generator.integers(len(layer.choices), size=PLACEMENTS) for layer in branch.layers], axis=1)
    seconds = []
    for _ in range(ROUNDS):
        start = process_time()
        branch.costs_of(chosen)
        seconds.append(process_time() - start)
    return PLACEMENTS / min(seconds)


def main() -> int:
    """Print one line a limit."""
    rate = evaluated_a_second()
    held = [rate >= LEAST_A_SECOND]
    print(f"{rate:,.0f} placements evaluated a second; at least {LEAST_A_SECOND:,} are wanted")
    cases: dict[str, dict[str, Any]] = {
        "one mechanism each, macs and params": {"budget": BUDGET},
        "one mechanism each, all four metrics": {"budget": BUDGET, "minimise": METRICS},
        "mixes, macs and params": {"budget": BUDGET, "mix": True},
    }
    for name, options in cases.items():
        seconds = []
        for _ in range(ROUNDS):
            start = process_time()
            found = searched(**options)
            seconds.append(process_time() - start)
        held.append(min(seconds) <= MOST_SECONDS)
        print(
            f"{name}: {found.considered:,} placements, {found.feasible:,} keep the budget, {len(found.front)} on the "
            f"front, {min(seconds):.2f} s; at most {MOST_SECONDS:g} s are wanted"
        )
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    held.append(mebibytes <= MOST_MIB)
    print(f"{mebibytes:,.0f} MiB at most; {MOST_MIB:,} MiB are wanted")
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
