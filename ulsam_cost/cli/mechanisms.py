"""The option that says which mechanisms are meant."""

import click

from ulsam_cost.errors import UnknownNameError
from ulsam_cost.formulas.attention import REGISTERED, get_mechanism, mechanisms
from ulsam_cost.formulas.attention.mechanism import GROUPS, Mechanism
from ulsam_cost.report.views.table1 import printed_mechanisms

ALL = "all"
mechanisms_option = click.option(
    "--mechanisms",
    help=f"Names and groups ({', '.join(GROUPS)}), separated by commas, or `{ALL}`.  [default: the six of Table 1]",
)


def chosen_mechanisms(text: str | None) -> tuple[Mechanism, ...]:
    """The mechanisms that the option names, or whose group it names, each once.

    Raises:
        UnknownNameError: for a mechanism or a group that does not exist.
    """
    if text is None:
        return printed_mechanisms()
    chosen = [mechanism for name in text.split(",") for mechanism in _named(name.strip())]
    return tuple({mechanism.name: mechanism for mechanism in chosen}.values())


def _named(name: str) -> tuple[Mechanism, ...]:
    if name == ALL or name in GROUPS:
        return tuple(mechanism for mechanism in mechanisms() if name in (ALL, mechanism.group))
    if name not in REGISTERED:
        raise UnknownNameError.among("attention mechanism", name, (*REGISTERED, *GROUPS, ALL))
    return (get_mechanism(name),)
