"""The option that says which mechanisms are meant."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from ulsam_cost.counting.overheads import printed_mechanisms
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.formulas.attention import CODE, REGISTERED, get_mechanism, mechanisms
from ulsam_cost.formulas.attention.mechanism import GROUPS, Mechanism
from ulsam_cost.user_code import names_code

ALL = "all"
mechanisms_option = click.option(
    "--mechanisms",
    help=f"Names, {CODE} of your own, and groups ({', '.join(GROUPS)}), separated by commas, or `{ALL}`."
    "  [default: the six of Table 1]",
)


own_options = click.option(
    "--option", "extra", multiple=True, metavar="NAME=VALUE", help=f"Option of the mechanisms that are {CODE}."
)


def chosen_mechanisms(text: str | None, extra: Sequence[str] = ()) -> tuple[Mechanism, ...]:
    """The mechanisms that the option names, or whose group it names, each once; the user's own with these options.

    Raises:
        UnknownNameError: for a mechanism or a group that does not exist, and an option that none of the user's has.
    """
    chosen = printed_mechanisms()
    if text is not None:
        chosen = tuple(mechanism for name in text.split(",") for mechanism in _named(name.strip()))
    given = _options(extra) if extra else {}
    own = [mechanism for mechanism in chosen if mechanism.code is not None]
    for key in given:
        if not own:
            raise CostError(f"--option {key}: a mechanism of your own, {CODE}, is accepted beside it")
        if not any(mechanism.accepts(key) for mechanism in own):
            raise UnknownNameError.among(f"option of {own[0].name}", key, own[0].options or ["none"])
    return tuple({mechanism.name: _with_options(mechanism, given) for mechanism in chosen}.values())


def _options(extra: Sequence[str]) -> dict[str, Any]:
    from ulsam_cost.formulas.networks.text import read_option  # and with it all networks

    return dict(map(read_option, extra))


def _with_options(mechanism: Mechanism, given: Mapping[str, Any]) -> Mechanism:
    if mechanism.code is None:
        return mechanism
    own = {key: value for key, value in given.items() if mechanism.accepts(key)}
    return replace(mechanism, from_table1=lambda **_: own)


def _named(name: str) -> tuple[Mechanism, ...]:
    if name == ALL or name in GROUPS:
        return tuple(mechanism for mechanism in mechanisms() if name in (ALL, mechanism.group))
    if name not in REGISTERED and not names_code(name):
        raise UnknownNameError.among("attention mechanism", name, (*REGISTERED, *GROUPS, ALL, CODE))
    return (get_mechanism(name),)
