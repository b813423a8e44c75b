"""How much do the costs of attention modules depend on the map? The modules of the ULSAM paper's Table 1, on four maps.

The paper compares six modules on one map, 512 x 14 x 14. This script compares the exact costs of the same modules on
the maps of four stages of a MobileNet. To run it: python analyses/table1.py
"""

from tabulate import tabulate

import ulsam_cost as uc

STAGES = [(128, 56), (256, 28), (512, 14), (1024, 7)]
MECHANISMS = ["non_local", "a2", "se", "bam", "cbam", "ulsam"]


def main() -> None:
    """Print the exact MACs of each module at each stage, in units of ULSAM's."""
    rows = []
    for name in MECHANISMS:
        row: list[str] = [name]
        for channels, size in STAGES:
            cost = uc.attention_cost(name, channels=channels, height=size, width=size)
            unit = uc.attention_cost("ulsam", channels=channels, height=size, width=size)
            row.append(f"{cost.macs:,} ({cost.macs / unit.macs:.2f}x)")
        rows.append(row)
    headers = ["exact MACs", *(f"{channels} x {size} x {size}" for channels, size in STAGES)]
    print(tabulate(rows, headers=headers, disable_numparse=True))


if __name__ == "__main__":
    main()
