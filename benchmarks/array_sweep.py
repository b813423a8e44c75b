"""How long the closed forms take on a million channel counts at once.

python benchmarks/array_sweep.py [channel counts]
"""

import math
import sys
from time import perf_counter

import numpy as np

from ulsam_cost.formulas.attention import attention_cost, mechanisms


def main() -> None:
    """Print one line a mechanism."""
    counts = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for mechanism in mechanisms():
        channels = np.arange(1, counts + 1) * math.lcm(16, mechanism.multiple)
        start = perf_counter()
        cost = attention_cost(mechanism.name, channels=channels, height=14, width=14)
        params, macs = (np.broadcast_to(total, counts) for total in (cost.params, cost.macs))
        seconds = perf_counter() - start
        last = f"{params[-1]:,} params, {macs[-1]:,} MACs"
        print(f"{mechanism.name:10} {counts:,} totals in {seconds:.2f} s; the last: {last}")


if __name__ == "__main__":
    main()
