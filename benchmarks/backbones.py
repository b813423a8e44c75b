"""How long it takes to build each backbone on the meta device, and to derive its cost; caches are emptied before each.

    python benchmarks/backbones.py [networks]

exits with status 1 if a median is over its limit.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, layer_parts, network_layers, network_spec
from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.nn.networks.meta import build_on_meta

ROUNDS = 15
LIMITS_MS = {"derive": 5, "build": 500}  # medians
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"attention": "se"},
    {"attention": "se", "connection": "dca"},
    {"attention": "sk", "connection": "dca"},
    {"attention": "cbam", "connection": "dca"},
    {"attention": "cbam", "connection": "aw"},
)
FIRST_BUILD = """
import time
from ulsam_cost.formulas.networks import network_spec
from ulsam_cost.nn.networks.meta import build_on_meta
spec = network_spec({network!r}, **{options!r})
start = time.perf_counter()
build_on_meta(spec)
print(time.perf_counter() - start)
"""


def median_ms(function: Callable[[NetworkSpec], object], spec: NetworkSpec) -> float:
    """Median processor time of a call, which other programs do not prolong as they do wall time."""
    times = []
    for _ in range(ROUNDS):
        layer_parts.cache_clear()
        sites.cache_clear()
        start = time.process_time()
        function(spec)
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times)


def first_build_ms(network: str, options: dict[str, str]) -> float:
    """Wall time of the first build in a fresh process, imports aside."""
    program = FIRST_BUILD.format(network=network, options=options)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return 1e3 * float(done.stdout)


def main() -> None:
    """Print one line a network, and what is over a limit."""
    limits = ", ".join(f"{step} {limit} ms" for step, limit in LIMITS_MS.items())
    print(f"processor time, medians of {ROUNDS}; limits: {limits}")
    over = []
    for network in sys.argv[1:] or REGISTERED:
        for options in KINDS:
            try:
                spec = network_spec(network, **options)
            except CostError as error:
                print(error)
                continue
            name = " ".join([network, *options.values()])
            medians = {"derive": median_ms(network_layers, spec), "build": median_ms(build_on_meta, spec)}
            taken = "   ".join(f"{step} {ms:7.2f} ms" for step, ms in medians.items())
            print(f"{name:28} {taken}   first in a process {first_build_ms(network, options):7.1f} ms")
            over += [f"{name}: {step}" for step, ms in medians.items() if ms > LIMITS_MS[step]]
    if over:
        sys.exit("over the limit: " + ", ".join(over))


if __name__ == "__main__":
    main()
