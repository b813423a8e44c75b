"""How long it takes to build each backbone on the meta device, and to derive its cost; caches are emptied before each.

Run it as it is: python benchmarks/backbones.py
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from ulsam_cost.formulas.networks import REGISTERED, NetworkSpec, network_layers, network_spec
from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.nn.networks.meta import build_on_meta

ROUNDS = 15
MOST_BUILD_MS, MOST_DERIVE_MS = 500, 5
KINDS = (
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
    """Median wall time of a call."""
    times = []
    for _ in range(ROUNDS):
        network_layers.cache_clear()
        sites.cache_clear()
        start = time.perf_counter()
        function(spec)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def first_build_ms(network: str, options: dict[str, str]) -> float:
    """Wall time of the first build in a fresh process, imports aside."""
    program = FIRST_BUILD.format(network=network, options=options)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return 1e3 * float(done.stdout)


def main() -> None:
    """Print one line a network."""
    print(f"medians of {ROUNDS}; at most {MOST_BUILD_MS} ms to build and {MOST_DERIVE_MS} ms to derive are wanted")
    for network in REGISTERED:
        for options in KINDS:
            if network == "resnet101_fpn" and (options.get("connection") == "dca" or options.get("attention") == "sk"):
                continue
            spec = network_spec(network, **options)
            name = " ".join([network, *options.values()])
            derived, built, first = (
                median_ms(network_layers, spec),
                median_ms(build_on_meta, spec),
                first_build_ms(network, options),
            )
            print(f"{name:28} derive {derived:6.2f} ms   build {built:7.1f} ms   first in a process {first:7.1f} ms")


if __name__ == "__main__":
    main()
