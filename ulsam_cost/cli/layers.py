"""`ulsam-cost layers`."""

import click

from ulsam_cost.cli.networks import spec_of
from ulsam_cost.cli.options import format_option, input_option, options
from ulsam_cost.cli.output import data_command, echo
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import REGISTERED
from ulsam_cost.formulas.networks.text import names_spec
from ulsam_cost.report.formats import render


@data_command("layers")
@click.argument("model")
@options(
    input_option(),
    click.option("--attention", help="Show where this mechanism's paper puts it in NETWORK."),
    format_option,
)
def command(model: str, inputs: tuple[str, ...], attention: str | None, style_of_output: str) -> None:
    """The layers of a model: their shapes and costs, and whether attention may follow or replace each.

    MODEL is a network's name with its options in one string, FILE.py:NAME or package.module:NAME, where NAME is an
    nn.Module, or a callable without arguments that gives one or a pair of it and its example inputs.

    Networks of the project show their layers by the numbers that --positions takes; the costs are those of the
    network without attention. Other models show their submodules, each with everything inside it.

    Attention may follow a layer whose output is a 4-dimensional map (batch, channels, height, width), and replace one
    that also keeps the shape of its input. JSON and CSV give the reason where it may not.
    """
    from ulsam_cost.counting.layers import model_layers, network_layers
    from ulsam_cost.counting.loading import load_model
    from ulsam_cost.report.views import layers

    if names_spec(model):
        spec = spec_of(model, {"extra": (), "attention": attention, "inputs": inputs})
        found, stands = network_layers(spec), not spec.is_plain
    elif attention is None:
        found, stands = model_layers(load_model(model, inputs=inputs)), False
    else:
        raise CostError(
            f"--attention {attention} with {model}: papers place attention in the networks of the project, which are "
            f"accepted: {', '.join(REGISTERED)}"
        )
    table = layers.flat_table if style_of_output in ("csv", "json") else layers.places_table
    echo(render(table(found, attention=stands), style_of_output))
