"""What does a custom gate cost, compared with known mechanisms in the same places of a network?

The network, the gate and the budget are those of examples/doorbell. To run it: python analyses/doorbell.py
"""

from pathlib import Path
from shlex import quote

import ulsam_cost as uc

FOLDER = Path(__file__).parents[1] / "examples" / "doorbell"
PLACES = "layers.5,layers.8,layers.11"
KNOWN = ("se", "eca", "cbam", "coord", "triplet", "simam", "gct", "ulsam")
LIMITS = {"macs": 118_200_000, "params": 690_000}


def main() -> None:
    """Print a table, cheapest first, and which of them keep the budget."""
    net, gate = (quote(f"{FOLDER / place}") for place in ("net.py:net", "gate.py:ContrastGate"))
    modules = {name: name for name in KNOWN} | {"ContrastGate": gate}
    models = {name: f"{net} --attention {module} --after {PLACES}" for name, module in modules.items()}
    table = uc.compare({"no attention": net, **models}).to_frame().sort_values(["macs", "params"])
    table["within"] = (table["macs"] <= LIMITS["macs"]) & (table["params"] <= LIMITS["params"])
    print(table[["network", "macs", "macs_delta", "params", "params_delta", "within"]].to_string(index=False))


if __name__ == "__main__":
    main()
