"""How long `review --check` takes for ten networks of MobileNetV2's size, imports aside.

Run it as it is: python benchmarks/review_check.py
"""

import statistics
import tempfile
import time
from pathlib import Path

from ulsam_cost.reviewing.check import COSTS_FILE, check_review, passes, read_accepted
from ulsam_cost.reviewing.design import read_design
from ulsam_cost.reviewing.review import count_design

ROUNDS = 7
NETWORKS = 10
NET = """
import torch
import ulsam_cost as uc

def net():
    return uc.build("mv2").eval(), torch.zeros(1, 3, 224, 224)
"""
WAYS = {
    "networks of the project": ("mv2", "mv2 --attention se --positions {layer}:1"),
    "modules of a file": ("net.py:net", "net.py:net"),
    "modules of a file with attention": ("net.py:net", "net.py:net --attention se --after features.{layer}"),
}


def design(folder: Path, baseline: str, model: str) -> Path:
    """A design file with ten candidates."""
    (folder / "net.py").write_text(NET, encoding="utf-8")
    lines = ['title = "ten networks"', f'baseline = "{baseline}"', '[budget]\nmacs = "400M"\nuncounted = 0']
    for number in range(NETWORKS):
        lines.append(f'[[candidate]]\nname = "{number}"\nmodel = "{model.format(layer=number + 3)}"')
    path = folder / "design.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def check(path: Path) -> bool:
    """What `review --check` does."""
    review = count_design(read_design(path))
    return passes(review, check_review(review, read_accepted(path.with_name(COSTS_FILE))))


def main() -> None:
    """Print the median and the longest time of each way."""
    from ulsam_cost.report.formats import to_json

    for name, (baseline, model) in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = design(Path(folder), baseline, model)
            record = count_design(read_design(path)).to_dict()  # also loads what is loaded once
            path.with_name(COSTS_FILE).write_text(to_json(record), encoding="utf-8")
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                assert check(path)
                times.append(time.perf_counter() - start)
        print(f"{name:34} median {statistics.median(times):6.2f} s, longest {max(times):6.2f} s")


if __name__ == "__main__":
    main()
