"""`ulsam-cost compare`."""

import click

from ulsam_cost.cli.options import POSITIVE, format_option, options
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.report.formats import render, to_json


@data_command("compare")
@click.argument("models", nargs=-1, required=True, metavar="A B [C ...]")
@options(
    click.option("--input", "inputs", multiple=True, help="Shape of each input, for a MODEL without example inputs."),
    click.option("--depth", type=POSITIVE, default=2, show_default=True, help="Depth of the module tree, for a MODEL."),
    click.option("--layers", is_flag=True, help="In CSV, print the layers instead of the totals."),
    format_option,
)
def command(models: tuple[str, ...], inputs: tuple[str, ...], depth: int, layers: bool, style_of_output: str) -> None:
    """Networks side by side: totals, differences from the first, and the layers in which they differ.

    Each of A, B, C is a network with its options in one string, as in "resnet50 --attention se --connection dca",
    or a MODEL: FILE.py:NAME or package.module:NAME.
    """
    from ulsam_cost.counting.compare import compare_loaded
    from ulsam_cost.formulas.networks.text import names_network
    from ulsam_cost.nn.loading import load_model
    from ulsam_cost.report.views.compare import (
        incomplete_lines,
        layers_table,
        narrow_layers_tables,
        narrow_totals_table,
        totals_table,
    )

    loaded = [load_model(text, inputs=() if names_network(text) else inputs) for text in models]
    comparison = compare_loaded(loaded, depth)
    if style_of_output == "json":
        echo(to_json(comparison.to_dict()))
        return
    warning = incomplete_lines(comparison)
    tables = [totals_table(comparison), layers_table(comparison)]
    if style_of_output == "table":
        tables = [narrow_totals_table(comparison), *(narrow_layers_tables(comparison) if comparison.layers else [])]
    if style_of_output == "csv":  # one table
        tables = tables[1:] if layers else tables[:1]
    parts = [render(table, style_of_output) for table in tables]
    if style_of_output == "table" and warning:
        parts.insert(0, warning)
    elif warning:
        say(warning)
    echo("\n\n".join(parts))
    for network in comparison.networks:
        if network.uncounted and network.complete:
            say(
                f"{network.name}: some operations have no rule, none of which looks like a product: "
                "ulsam-cost count names them"
            )
