"""What does ULSAM save in a MobileNet, and can the count be trusted?

Every placement of the paper's Tables 7 and 8: derived from closed forms, and counted from the real network,
operation by operation. To run it: python analyses/mobilenets.py
"""

import torch
from tabulate import tabulate

import ulsam_cost as uc

PLACEMENTS = [
    ("mv1", 1.0, "8:1,9:1,11"),
    ("mv1", 0.75, "8:1,9:1,11"),
    ("mv1", 0.5, "8:1,9:1,11"),
    ("mv2", 1.0, "14,17"),
    ("mv2", 1.0, "16,17"),
    ("mv2", 1.0, "13,14,16,17"),
]


def main() -> None:
    """Print parameters and MACs of each placement, and the change from the plain network."""
    rows = []
    for network, width, positions in PLACEMENTS:
        plain = uc.network_cost(network, width=width)
        derived = uc.network_cost(network, width=width, positions=positions)
        with torch.device("meta"):  # nothing is allocated, nothing is computed
            model = uc.build(network, width=width, positions=positions).eval()
            counted = uc.count(model, torch.empty(1, 3, 224, 224))
        agree = (counted.params, counted.macs) == (derived.params, derived.macs)
        rows.append(
            [
                f"{width:g} {network} ({positions})",
                f"{derived.params:,}",
                f"{derived.params / plain.params - 1:+.2%}",
                f"{derived.macs:,}",
                f"{derived.macs / plain.macs - 1:+.2%}",
                "yes" if agree else "NO",
            ]
        )
    headers = ["network", "params", "change", "MACs", "change", "derived = counted"]
    print(tabulate(rows, headers=headers, disable_numparse=True, colalign=["left"] + ["right"] * 4 + ["left"]))


if __name__ == "__main__":
    main()
