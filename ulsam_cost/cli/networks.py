"""The options that say which network is meant, shared by the commands that take one."""

from typing import Any

import click

from ulsam_cost.cli.options import POSITIVE, SIZE
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention.ulsam import STYLES
from ulsam_cost.formulas.networks import NO_ATTENTION, NetworkSpec, network_spec
from ulsam_cost.formulas.networks.text import input_options, options_from_text, read_option

SIZES = ("width", "resolution", "classes", "batch", "variant", "positions", "attention")

# None stands for what is not given: a command that also takes other models tells the two apart
network_options = (
    click.option(
        "--positions", help="Where attention stands: 8:1,9:1,11; `ulsam-cost layers NETWORK` shows where it may."
    ),
    click.option(
        "--attention",
        help="Which mechanism, or FILE.py:NAME, or one for each position: ulsam,se; none for the plain network."
        "  [default: ulsam at positions]",
    ),
    click.option("--groups", type=POSITIVE, help="Subspaces g of ULSAM.  [default: 4]"),
    click.option("--style", type=click.Choice(STYLES), help="Style of ULSAM.  [default: equation]"),
    click.option("--width", type=float, help="Width multiplier.  [default: 1]"),
    click.option("--resolution", type=SIZE, help="Input size: 224, or 192x160 (height x width).  [default: 224]"),
    click.option("--classes", type=POSITIVE, help="Number of classes.  [default: 1000]"),
    click.option(
        "--variant",
        help="ResNet variant: v1.5 (stride in the 3x3 convolution), v1 (in the 1x1) or cifar (v1.5, 3x3 stem).",
    ),
    click.option(
        "--sites",
        help="Place inside the blocks: paper or block; for mv1 also pointwise, depthwise or both. A mechanism's name "
        "means where its paper puts it: --attention se --sites coord.",
    ),
    click.option("--connection", help="dca connects each attention module with the previous one, aw attends weights."),
    click.option(
        "--option", "extra", multiple=True, metavar="NAME=VALUE", help="Option of the mechanism or the connection."
    ),
)
batch_options = (
    click.option("--batch", type=POSITIVE, help="Batch size; costs are those of the whole batch.  [default: 1]"),
    click.option(
        "--input",
        "inputs",
        multiple=True,
        help="Batch size and resolution together, as in 1x3x800x1344; for a MODEL each input, as in count.",
    ),
)


def given_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are given, those of the mechanism and the connection among them.

    Raises:
        CostError: for an option of those that is not NAME=VALUE.
    """
    given = {key: value for key, value in options.items() if key not in ("inputs", "extra") and value is not None}
    return given | dict(map(read_option, options["extra"]))


def spec_of(network: str, options: dict[str, Any]) -> NetworkSpec:
    """The network that a name, alone or with options in one string, and the command's own options mean.

    Raises:
        CostError: for options that are not accepted, given twice, or say nothing about a plain network.
    """
    name, given = options_from_text(network)
    for key, value in given_options(options).items():
        if key in given:
            raise CostError(f"{key} is given in {network!r} and as an option: one of the two is accepted")
        given[key] = value
    if inputs := options.get("inputs", ()):
        if len(inputs) > 1:
            raise CostError(f"--input {' --input '.join(inputs)}: a network of the project takes one input")
        given |= input_options(inputs[0], given)
    spec = network_spec(name, **given)
    idle = set(given) - set(SIZES)
    if idle and spec == spec.plain() and given.get("attention") != NO_ATTENTION:
        raise CostError(f"{', '.join(sorted(idle))}: the network is plain without --positions or --attention")
    return spec
