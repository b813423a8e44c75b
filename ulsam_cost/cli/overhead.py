"""`ulsam-cost overhead`."""

import re
from pathlib import Path
from typing import Any

import click

from ulsam_cost.cli.mechanisms import chosen_mechanisms, mechanisms_option, own_options
from ulsam_cost.cli.options import POSITIVE, SIZE, format_option, options, show
from ulsam_cost.cli.output import data_command
from ulsam_cost.counting.overheads import overhead_rows
from ulsam_cost.formulas.attention.ulsam import STYLES
from ulsam_cost.report.views.overhead import overhead_note, overhead_table

MOST_VALUES = 20_000
_RANGE = re.compile(r"([0-9]{1,9}):([0-9]{1,9})(?::([0-9]{1,9}))?", re.ASCII)


class Sweep(click.ParamType):  # type: ignore[type-arg]
    """Values separated by commas, each one of `kind`, or a range START:STOP:STEP, of which STOP is the last."""

    name = "SWEEP"

    def __init__(self, kind: click.ParamType) -> None:  # type: ignore[type-arg]
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Read it, each value once, or say what is accepted."""
        if isinstance(value, tuple):
            return value
        values = [read for part in str(value).split(",") for read in self._part(part.strip(), param, ctx)]
        return tuple(dict.fromkeys(values))

    def _part(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> list[Any]:
        if ":" not in text:
            return [self.kind.convert(text, param, ctx)]
        match = _RANGE.fullmatch(text)
        start, stop, step = (int(part or 1) for part in match.groups()) if match else (0, 0, 0)
        if not 0 < start <= stop or not step:
            self.fail(f"{text!r} is not a range: START:STOP:STEP, as in 64:1024:64, is accepted", param, ctx)
        if (stop - start) // step >= MOST_VALUES:
            self.fail(f"{text!r} has more than {MOST_VALUES:,} values: a larger step is accepted", param, ctx)
        return [self.kind.convert(str(number), param, ctx) for number in range(start, stop + 1, step)]


@data_command("overhead")
@options(
    click.option(
        "--m",
        "channels",
        type=Sweep(POSITIVE),
        default="512",
        show_default=True,
        help="Channels: 64:1024:64, or 64,96.",
    ),
    click.option(
        "--hw", "sizes", type=Sweep(SIZE), default="14", show_default=True, help="Map sizes: 7,14,28,56, or 14x7."
    ),
    mechanisms_option,
    own_options,
    click.option("--t", type=POSITIVE, help="Attention maps of A2-Net.  [default: m / 8]"),
    click.option("--r", type=POSITIVE, help="Reduction.  [default: 16, or m if that is less]"),
    click.option("--g", type=POSITIVE, help="Subspaces of ULSAM.  [default: 4, or less if 4 does not divide m]"),
    click.option("--style", type=click.Choice(STYLES), default="equation", show_default=True, help="Style of ULSAM."),
    click.option(
        "--picture", type=click.Path(path_type=Path), help="Write a PNG of the sweep, with a line for each mechanism."
    ),
    format_option,
)
def command(
    channels: tuple[int, ...],
    sizes: tuple[tuple[int, int], ...],
    mechanisms: str | None,
    extra: tuple[str, ...],
    t: int | None,
    r: int | None,
    g: int | None,
    style: str,
    picture: Path | None,
    style_of_output: str,
) -> None:
    """What the attention mechanisms add, swept over channels and map sizes: the real modules' parameters and MACs.

    The cost of a mechanism that replaces a convolution (aw, sk) is the difference from that convolution.
    """
    chosen = chosen_mechanisms(mechanisms, extra)
    rows = overhead_rows(chosen, channels, sizes, style=style, t=t, r=r, g=g)
    if picture is not None:
        from ulsam_cost.report.figures.overhead import sweep_figure
        from ulsam_cost.report.files import write_file

        write_file(picture, sweep_figure(rows, "What attention adds to a network"))
    show(overhead_table(rows), style_of_output, notes=overhead_note(rows))
