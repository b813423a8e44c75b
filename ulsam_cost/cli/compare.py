"""`ulsam-cost compare`."""

import click

from ulsam_cost.cli.options import POSITIVE, format_option, input_option, options
from ulsam_cost.cli.output import data_command, echo, say
from ulsam_cost.errors import CostError
from ulsam_cost.report.formats import prose, render, to_json


@data_command("compare")
@click.argument("models", nargs=-1, required=True, metavar="A B [C ...]")
@options(
    input_option(" for a MODEL without example inputs"),
    click.option("--depth", type=POSITIVE, default=2, show_default=True, help="Depth of the module tree, for a MODEL."),
    click.option("--layers", is_flag=True, help="In CSV, print the layers instead of the totals."),
    click.option("--modules", is_flag=True, help="In CSV, print the modules that differ from the first network's."),
    format_option,
)
def command(
    models: tuple[str, ...], inputs: tuple[str, ...], depth: int, layers: bool, modules: bool, style_of_output: str
) -> None:
    """Networks side by side: totals, differences from the first, and the modules and layers in which they differ.

    Modules are matched by path, and by structure where paths moved, so that what was inserted, removed, changed or
    moved is told apart; their differences add up to those of the totals.

    Each of A, B, C is a network with its options in one string, as in "resnet50 --attention se --connection dca",
    or a MODEL: FILE.py:NAME, package.module:NAME or FILE.onnx.
    """
    from ulsam_cost.counting.compare import compare_loaded
    from ulsam_cost.counting.loading import load_to_count
    from ulsam_cost.formulas.networks.text import names_network
    from ulsam_cost.report.views import compare as views

    if layers and modules:
        raise CostError("--layers or --modules is accepted, not both")
    loaded = [load_to_count(text, inputs=() if names_network(text) else inputs) for text in models]
    comparison = compare_loaded(loaded, depth)
    if style_of_output == "json":
        echo(to_json(comparison.to_dict()))
        return
    warning = views.incomplete_lines(comparison)
    is_wide = style_of_output != "table"
    if style_of_output == "csv":  # one table
        table = views.layers_table if layers else views.all_modules_table if modules else views.totals_table
        parts = [render(table(comparison), style_of_output)]
    else:
        totals = views.totals_table(comparison) if is_wide else views.narrow_totals_table(comparison)
        by_layer = [views.layers_table(comparison)] if is_wide else views.narrow_layers_tables(comparison)
        parts = [render(totals, style_of_output)]
        for network in comparison.networks[1:]:
            parts.append(prose(views.modules_heading(network, comparison.networks[0]), style_of_output))
            by_module = views.modules_table(network) if is_wide else views.narrow_modules_table(network)
            parts.append(render(by_module, style_of_output))
            if line := views.same_cost_line(network):
                parts.append(prose(line, style_of_output))
        parts += (render(table, style_of_output) for table in by_layer)
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
