"""Are the costs in a table right? Printed numbers of your choice, checked against real networks.

`mobilenet_cells.csv` holds numbers that papers and a model zoo print, each with its MODEL: a network of this project
with its options, or your own FILE.py:NAME. The same check runs from the command line: ulsam-cost crosscheck --cells
analyses/mobilenet_cells.csv. To run it: python analyses/your_paper.py
"""

from pathlib import Path

from tabulate import tabulate

import ulsam_cost as uc

CELLS = Path(__file__).with_name("mobilenet_cells.csv")


def main() -> None:
    """Print the verdict on each cell, and the counting rule that gives the number."""
    rows = []
    for finding in uc.check_cells(CELLS):
        cell, computed = finding.subject, finding.computed
        number = f"{int(computed.number):,}" if computed else ""
        rule = computed.convention if computed else ""
        rows.append([cell.source, cell.model, cell.metric, cell.printed, number, rule, finding.verdict.words])
    headers = ["source", "model", "metric", "printed", "computed", "rule", "verdict"]
    print(tabulate(rows, headers=headers, disable_numparse=True, colalign=["left"] * 3 + ["right"] * 2 + ["left"] * 2))


if __name__ == "__main__":
    main()
