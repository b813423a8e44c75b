"""`ulsam-cost table1`."""

import click

from ulsam_cost.cli.mechanisms import chosen_mechanisms, mechanisms_option, own_options
from ulsam_cost.cli.options import POSITIVE, SIZE, format_option, options, show
from ulsam_cost.cli.output import data_command, say
from ulsam_cost.counting.overheads import table1_letters, table1_rows
from ulsam_cost.formulas.attention.ulsam import STYLES
from ulsam_cost.report.views.table1 import EXACT_NOTE, TABLE1_NOTE, explanations, incomplete_lines, table1_table


@data_command("table1")
@options(
    click.option("--m", type=POSITIVE, default=512, show_default=True, help="Channels of the map."),
    click.option(
        "--hw", type=SIZE, default="14", show_default=True, help="Size of the map: 14, or 14x7 (height x width)."
    ),
    click.option("--t", type=POSITIVE, help="Attention maps of A2-Net.  [default: m / 8]"),
    click.option("--r", type=POSITIVE, help="Reduction of SE, BAM and CBAM.  [default: 16, or m if that is less]"),
    click.option(
        "--dilation", type=POSITIVE, default=4, show_default=True, help="Dilation of BAM; it changes no cost."
    ),
    click.option("--g", type=POSITIVE, help="Subspaces of ULSAM.  [default: 4, or less if 4 does not divide m]"),
    click.option("--style", type=click.Choice(STYLES), default="equation", show_default=True, help="Style of ULSAM."),
    mechanisms_option,
    own_options,
    click.option("--exact", is_flag=True, help="Add the derived cost of the real modules, and why it differs."),
    click.option("--counted", is_flag=True, help="Add the counted cost of the real modules."),
    format_option,
)
def command(
    m: int,
    hw: tuple[int, int],
    t: int | None,
    r: int | None,
    dilation: int,
    g: int | None,
    style: str,
    mechanisms: str | None,
    extra: tuple[str, ...],
    exact: bool,
    counted: bool,
    style_of_output: str,
) -> None:
    """Overheads of the attention mechanisms on one map: as printed, derived, counted.

    The printed formulas are those of the ULSAM paper's Table 1, where a FLOP is one multiply-accumulate. A mechanism
    of your own, FILE.py:NAME, has no formula, and is counted.
    """
    letters = table1_letters(m, *hw, t=t, r=r, dilation=dilation, g=g)
    chosen = chosen_mechanisms(mechanisms, extra)
    counted = counted or any(mechanism.cost is None for mechanism in chosen)
    rows = table1_rows(letters, style=style, chosen=chosen, with_derived=exact, with_counted=counted)
    if not (exact or counted):
        show(table1_table(rows), style_of_output, notes=TABLE1_NOTE)
        return
    if warning := incomplete_lines(rows):
        say(warning)
    notes = f"{EXACT_NOTE}\n{explanations(rows)}" if exact else explanations(rows)
    if exact and any(row.mechanism.name == "a2" for row in rows):
        notes += f"\n(a2: the exact module gathers t = {letters['t']} maps of m / 4 channels, as its authors do)"
    show(table1_table(rows), style_of_output, notes=notes)
