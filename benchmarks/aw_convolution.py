"""Time and peak memory of the two forms of an AW-convolution, and of the plain convolution beside them.

    python benchmarks/aw_convolution.py [--device auto] [--dtype float32] [--train]

The map does not depend on the input channel (r = c), so both forms give the same result: the literal one builds
weights for every sample, the other gates each tap of the kernel, or the output of a 1 x 1 kernel.
"""

import argparse
from typing import Any

import torch
from torch import nn

from ulsam_cost.formulas.attention.aw import aw_conv2d_cost
from ulsam_cost.measuring.device import device_name
from ulsam_cost.measuring.measure import measure
from ulsam_cost.measuring.memory import measure_memory
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.nn.attention.aw import AWConv2d
from ulsam_cost.report.formats import Table, number, render, words

BATCH, CHANNELS, HIDDEN = 32, 512, 32
CASES = (("3 x 3 on 7 x 7", 3, 7), ("1 x 1 on 14 x 14", 1, 14))


def main() -> None:
    """Measure every case and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--train", action="store_true", help="a step (forward, backward, SGD) instead of a forward pass"
    )
    given = parser.parse_args()
    records = [
        record
        for name, kernel, size in CASES
        for record in measured(name, kernel, size, device=given.device, dtype=given.dtype, train=given.train)
    ]
    columns = (
        words("case", "512 -> 512"),
        words("form", "form"),
        number("median_ms", "median ms"),
        number("ratio", "to literal"),
        number("peak_mb", "peak MB"),
        number("macs", "MACs"),
        number("multiplications", "multiplications"),
        number("additions", "additions"),
    )
    device = make_setting(device=given.device).device
    print(f"batch {BATCH}, {given.dtype}, {'step' if given.train else 'forward'}, {device_name(device)}\n")
    print(render(Table(columns=columns, records=records), "table"))


def measured(name: str, kernel: int, size: int, *, device: str, dtype: str, train: bool) -> list[dict[str, object]]:
    """The records of one case: the literal form, the cheap one, and the plain convolution."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"padding": kernel // 2, "bias": False}
    modules: dict[str, nn.Module] = {
        "literal": AWConv2d(CHANNELS, CHANNELS, kernel, **sizes, hidden=HIDDEN, literal=True),
        "cheap": AWConv2d(CHANNELS, CHANNELS, kernel, **sizes, hidden=HIDDEN),
        "plain": nn.Conv2d(CHANNELS, CHANNELS, kernel, **sizes),
    }
    x = torch.randn(BATCH, CHANNELS, size, size)
    setting = make_setting(device=device, dtype=dtype, train=train)
    records = []
    for form, module in modules.items():
        pair = measure(module, x, baseline=modules["literal"], device=device, dtype=dtype, train=train)
        memory = measure_memory(module, x, setting=setting)
        record = {
            "case": name,
            "form": form,
            "median_ms": pair.network.median_ms,
            "ratio": pair.ratio and pair.ratio.median,
        }
        records.append(record | {"peak_mb": (memory.peak_bytes or 0) / 1e6} | derived(form, kernel, size))
    return records


def derived(form: str, kernel: int, size: int) -> dict[str, object]:
    """What the closed form says about one forward pass."""
    x = (BATCH, CHANNELS, size, size)
    if form == "plain":
        return {"macs": BATCH * (CHANNELS * kernel) ** 2 * size**2, "multiplications": 0, "additions": 0}
    literal = form == "literal"
    cost = aw_conv2d_cost(x, CHANNELS, kernel=kernel, padding=kernel // 2, hidden=HIDDEN, literal=literal)
    kinds = {str(kind): part.writes for kind, part in cost.by_kind().items()}
    return {"macs": cost.macs, "multiplications": kinds["multiply"], "additions": kinds["add"]}


if __name__ == "__main__":
    main()
