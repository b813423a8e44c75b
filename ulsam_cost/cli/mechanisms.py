"""The option that says which mechanisms are meant."""

import click

from ulsam_cost.formulas.attention import REGISTERED, get_mechanism
from ulsam_cost.formulas.attention.mechanism import Mechanism
from ulsam_cost.report.table1 import printed_mechanisms

mechanisms_option = click.option(
    "--mechanisms", help="Which, separated by commas, or `all`.  [default: the six of Table 1]"
)


def chosen_mechanisms(text: str | None) -> tuple[Mechanism, ...]:
    """The mechanisms that the option names, each once.

    Raises:
        UnknownNameError: for a mechanism that does not exist.
    """
    if text is None:
        return printed_mechanisms()
    names = REGISTERED if text == "all" else dict.fromkeys(name.strip() for name in text.split(","))
    return tuple(map(get_mechanism, names))
