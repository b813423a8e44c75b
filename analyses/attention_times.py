"""How much attention slows timm's networks down: times that timm publishes, and counted costs of the same networks.

It writes the two files behind the report's page of published times: `timm_times.csv`, copied from timm's published
tables (results/benchmark-infer-*.csv of its repository), and `timm_counts.csv`, counted here on the meta device, both
for the networks of `timm_pairs.csv`. timm and torchvision must be installed; the package itself needs neither.

Run it with the folder that holds timm's tables: python analyses/attention_times.py FOLDER
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

import ulsam_cost as uc
from ulsam_cost import published

HERE = Path(published.__file__).parent
TABLE = re.compile(r"benchmark-infer-(amp|fp32)-(nchw|nhwc)-pt240-(?:cu124|cpu)-(.+?)(-dynamo)?\.csv")
DEVICES = {"rtx3090": "RTX 3090", "rtx4090": "RTX 4090", "i7_12700h": "Core i7-12700H"}
PRECISIONS = {"amp": "mixed precision", "fp32": "float32"}


def wanted() -> dict[tuple[str, int], None]:
    """The networks of the pairs, each at its size, once."""
    pairs = published.read_rows("timm_pairs.csv")
    return dict.fromkeys((pair[which], int(pair["size"])) for pair in pairs for which in ("plain", "changed"))


def times(folder: Path, networks: Iterable[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """What timm's tables say of the networks; a table does not have all of them."""
    for path in sorted(folder.glob("benchmark-infer-*.csv")):
        match = TABLE.fullmatch(path.name)
        if match is None:
            continue
        precision, layout, device, compiled = match.groups()
        with path.open(newline="") as file:
            rows = {(row["model"], int(row["infer_img_size"])): row for row in csv.DictReader(file)}
        for model, size in networks:
            if row := rows.get((model, size)):
                yield {
                    "table": path.name,
                    "device": DEVICES[device],
                    "precision": PRECISIONS[precision],
                    "layout": layout.upper(),
                    "mode": "compiled" if compiled else "eager",
                    "batch": row["infer_batch_size"],
                    "model": model,
                    "size": size,
                    "images_per_second": row["infer_samples_per_sec"],
                }


def counts(networks: Iterable[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """Each network's cost by kind.

    Raises:
        ValueError: for a count that leaves something out.
    """
    import timm

    for name, size in networks:
        with torch.device("meta"):
            model = timm.create_model(name).eval()
        counted = uc.count(model, torch.zeros(1, 3, size, size, device="meta"))
        if counted.uncounted:
            raise ValueError(f"{name}: the count leaves out {counted.left_out()}")
        for kind, cost in counted.by_kind().items():
            sums = {unit: getattr(cost, unit) for unit in ("params", "macs", "reads", "writes")}
            yield {"model": name, "size": size, "kind": str(kind), **sums}


def write(name: str, rows: Iterable[dict[str, Any]]) -> None:
    """A file of the package, whole or not at all."""
    rows = list(rows)
    with (HERE / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(folder: Path) -> None:
    """Write both files."""
    write("timm_times.csv", times(folder, wanted()))
    write("timm_counts.csv", counts(wanted()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
