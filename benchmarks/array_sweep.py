"""How long the closed forms take on a million channel counts at once.

python benchmarks/array_sweep.py [channel counts]
"""

import sys
from time import perf_counter

import numpy as np

from ulsam_cost.formulas.attention import REGISTERED, attention_cost


def main() -> None:
    """Print one line a mechanism."""
    counts = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    channels = np.arange(1, counts + 1) * 16
    for name in REGISTERED:
        start = perf_counter()
        cost = attention_cost(name, channels=channels, height=14, width=14)
        params, macs = np.atleast_1d(cost.params), np.atleast_1d(cost.macs)
        seconds = perf_counter() - start
        print(f"{name:10} {len(macs):,} totals in {seconds:.2f} s; the last: {params[-1]:,} params, {macs[-1]:,} MACs")


if __name__ == "__main__":
    main()
